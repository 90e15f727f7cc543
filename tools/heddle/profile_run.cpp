#include "profile_run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <heddle/kernel/descriptor_count.hpp>
#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/topology.hpp>
#include <heddle/kernel/usage.hpp>
#include <heddle/sizing/headroom.hpp>
#include <heddle/sizing/profile_report.hpp>
#include <heddle/sizing/size_search.hpp>

#include "failure.hpp"
#include "profile_commands.hpp"
#include "profile_kernels.hpp"
#include "profile_output.hpp"
#include "profile_stage.hpp"

namespace heddle::tool {
namespace {

using namespace std::chrono_literals;
using clock = profile_stage::clock;
using std::chrono::nanoseconds;

constexpr int usual_most = 1024;

// Seconds; starting and ending a process takes about as long.
constexpr double brief_task = 0.0025;

double seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

// How many may work at once, and why no more.
sizing::headroom find_room(bool processes, int cap) {
  sizing::resources known;
  known.limits = kernel::read_process_limits();
  // What the hard limit allows can be had.
  if (auto& files = known.limits.open_files) files->soft = files->hard;
  known.open_descriptors = kernel::count_descriptors();
  if (known.limits.tasks) known.group_tasks = kernel::read_tasks_in_use(*known.limits.tasks);
  known.memory = kernel::read_memory();
  if (known.memory.limit) known.group_memory = kernel::read_memory_in_use(*known.memory.limit);
  sizing::memory_brake brake;
  return sizing::find_headroom(known, {.descriptors = processes ? 3u : 0u}, cap, brake);
}

// Sizes that were asked for and cannot be had are refused before anything runs.
sizing::headroom find_room(const profile_options& options) {
  const bool searches = options.sizes.empty();
  const auto room = find_room(!options.command.empty(),
                              searches ? options.max.value_or(usual_most) : options.sizes.back());
  if (!searches && room.most < options.sizes.back()) {
    throw usage_error(
        fmt::format("--sizes: {} is too many here: {}", options.sizes.back(), room.reason));
  }
  return room;
}

// Measures a command at one size after the other.
class measuring {
 public:
  measuring(const profile_options& options, profile_stage& stage, command_workload& work, int most)
      : options_(options),
        stage_(stage),
        work_(work),
        most_(most),
        search_(search_options(options, most)),
        // A tenth of the time is for the adaptive law.
        deadline_(stage.deadline() - options.time_limit / 10),
        length_(usual_length(options.time_limit)) {}

  void measure() {
    stage_.show([this] {
      const auto far = search_.how_far();
      return progress_line(stage_, "jobs", size_, far.done, far.expected);
    });
    while (stage_.signal() == 0) {
      const auto next = search_.next();
      if (!next) break;
      const auto task = nanoseconds(std::llround(longest_task_ * 1e9));
      if (has_measured() && clock::now() + std::max(length_, task) > deadline_) {
        out_of_time();
        break;
      }
      size_ = *next;
      take(work_.run(size_, length_));
      if (!complete_) break;
    }
    stage_.clear();
  }

  // What the law of -j auto makes of the work.
  std::optional<chosen_size> try_adaptive() {
    if (stage_.signal() != 0 || !has_measured()) return std::nullopt;
    const nanoseconds length = std::clamp<nanoseconds>(options_.time_limit / 12, 100ms, 5s);
    if (seconds(length) < 5 * shortest_task_) return std::nullopt;
    stage_.show([] { return std::string("heddle map -j auto chooses"); });
    auto chosen = work_.run_adaptive(most_, length);
    stage_.clear();
    return chosen;
  }

  sizing::profile_report report() {
    auto made = sizing::make_report(search_.measurements(),
                                    {.workload = work_.name(),
                                     .cores = kernel::usable_cores(),
                                     .physical_cores = kernel::read_cores().physical_cores()});
    if (failed_ != 0) {
      remark(fmt::format("{} of {} tasks failed, so the figures may mean little. The first: {}.",
                         failed_, ended_, complaint_));
    }
    if (const auto rough = search_.imprecise(); complete_ && !rough.empty()) {
      remark(fmt::format("Not known as exactly as asked for, after {} runs: {} {}.",
                         most_repetitions, rough.size() == 1 ? "size" : "sizes",
                         fmt::join(rough, ", ")));
    }
    if (shortest_task_ < brief_task) {
      remark(
          fmt::format("A task takes {}: what was measured is for the most part the starting of "
                      "processes.",
                      human(shortest_task_)));
    }
    made.complete = complete_ && stage_.signal() == 0;
    made.remarks.insert(made.remarks.end(), remarks_.begin(), remarks_.end());
    return made;
  }

  bool has_measured() const { return !search_.measurements().empty(); }
  std::uint64_t failed() const { return failed_; }

 private:
  static sizing::search_options search_options(const profile_options& options, int most) {
    return {.sizes = options.sizes,
            .most = most,
            .precision = options.precision,
            .max_repetitions = most_repetitions};
  }

  void take(const batch& b) {
    if (!b.refused.empty()) {
      search_.refuse(size_);
      remark(fmt::format("Sizes from {} on were left out: {}.", size_, b.refused));
      most_ = std::min(most_, std::max(size_ - 1, 1));
      return;
    }
    if (!b.complete) {
      if (stage_.signal() == 0 && clock::now() >= stage_.deadline()) out_of_time();
      return;
    }
    if (b.failed == b.ended && failed_ == ended_) {
      throw run_error(fmt::format("{} failed, so there is nothing to measure; {}",
                                  b.ended == 1 ? "the task" : fmt::format("all {} tasks", b.ended),
                                  b.complaint));
    }
    if (b.failed != 0 && failed_ == 0) complaint_ = b.complaint;
    ended_ += b.ended;
    failed_ += b.failed;
    search_.add(b.measured);
    const double task = seconds(*b.measured.in_tasks) / static_cast<double>(b.measured.tasks);
    shortest_task_ = longest_task_ == 0 ? task : std::min(shortest_task_, task);
    longest_task_ = std::max(longest_task_, task);
  }

  void out_of_time() {
    complete_ = false;
    remark(
        fmt::format("The time limit of {:g} s was reached before all was known as exactly as "
                    "asked for; a task took up to {}.",
                    seconds(options_.time_limit), human(longest_task_)));
  }

  void remark(std::string text) { remarks_.push_back(std::move(text)); }

  const profile_options& options_;
  profile_stage& stage_;
  command_workload& work_;
  int most_;
  sizing::size_search search_;
  const clock::time_point deadline_;
  const nanoseconds length_;

  int size_ = 1;
  std::uint64_t ended_ = 0;  // tasks
  std::uint64_t failed_ = 0;
  std::string complaint_;
  double shortest_task_ = 0;  // seconds, the mean of a run
  double longest_task_ = 0;
  bool complete_ = true;
  std::vector<std::string> remarks_;
};

constexpr const char* adaptive_map = "map -j auto";

}  // namespace

int profile_workload(const profile_options& options) {
  profile_files files(options);
  const auto room = find_room(options);
  profile_stage stage(options.time_limit);

  sizing::profile_report report;
  std::uint64_t failed = 0;
  if (options.kernel) {
    report = profile_kernel(stage, options, room.most);
  } else {
    command_workload work(stage, options);
    stage.die_if_told();  // while inputs were read
    measuring m(options, stage, work, room.most);
    m.measure();
    const auto chosen = m.try_adaptive();
    if (m.has_measured()) report = m.report();
    if (chosen) {
      report.rivals.push_back({.name = adaptive_map,
                               .size = chosen->size,
                               .reason = chosen->reason,
                               .throughput = chosen->throughput});
    }
    failed = m.failed();
  }
  if (report.measurements.empty()) {
    if (stage.signal() != 0) stage.say("interrupted before anything was known");
    stage.die_if_told();
    throw run_error("nothing could be measured");
  }
  if (options.sizes.empty() && !room.reason.empty() && report.sizes.back().size == room.most) {
    report.remarks.push_back(
        fmt::format("Sizes above {} were left out: {}.", room.most, room.reason));
  }
  if (::access("/proc/self", F_OK) != 0) {
    report.remarks.emplace_back("/proc is not mounted, so a CPU quota would not be seen.");
  }
  if (stage.signal() != 0) {
    report.remarks.emplace_back("Interrupted; this is what was known by then.");
  }
  if (options.kernel) {
    files.write(report, {"threads", "adaptive pool"});
  } else {
    files.write(report, {"jobs", adaptive_map});
  }
  stage.die_if_told();
  return failed == 0 ? 0 : 1;
}

}  // namespace heddle::tool
