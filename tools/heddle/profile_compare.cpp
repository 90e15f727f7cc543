#include "profile_compare.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <heddle/kernel/quota.hpp>
#include <heddle/process/spawn.hpp>
#include <heddle/sizing/formulas.hpp>
#include <heddle/sizing/statistics.hpp>

#include "failure.hpp"
#include "option_table.hpp"
#include "profile_commands.hpp"
#include "profile_kernels.hpp"
#include "profile_output.hpp"
#include "profile_stage.hpp"
#include "profile_waiters.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

using json = nlohmann::ordered_json;
using std::chrono::nanoseconds;

enum way : std::size_t { sequential, threads, processes, ways };
constexpr std::array<std::string_view, ways> way_names{"sequential", "threads", "processes"};

struct way_figures {
  int at_once = 1;
  sizing::running_mean throughput;  // tasks a second
  sizing::running_mean cpu;         // seconds a task
  sizing::running_mean residence;   // likewise
};

struct kind_figures {
  builtin_work work;
  std::string_view key;
  std::array<way_figures, ways> by_way;

  sizing::estimate speed_up(way w) const {
    return sizing::ratio(by_way[sequential].throughput, by_way[w].throughput);
  }
};

// Where this program is, to be run again; as it was called where /proc does not tell.
std::string own_path() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? program_invocation_name : path.string();
}

// One kind of work, in each of the ways.
class contest {
 public:
  contest(profile_stage& stage, builtin_work work, int at_once)
      : stage_(stage), task_(work), commands_(stage, set_up(work)), at_once_(at_once) {}

  batch run(way w, nanoseconds length) {
    switch (w) {
      case sequential:
        return run_sequentially(stage_, task_, length);
      case threads:
        return run_on_threads(stage_, task_, at_once_, length);
      default:
        return commands_.run(at_once_, length);
    }
  }
  int at_once(way w) const { return w == sequential ? 1 : at_once_; }

 private:
  // A task in a process of its own is this program, told to run the kernel once.
  const profile_options& set_up(builtin_work work) {
    in_processes_.command = {own_path(), "profile", "--kernel", std::string(to_string(work))};
    in_processes_.argument_lists = {{fmt::format("--once={}", task_.steps_per_millisecond())}};
    return in_processes_;
  }

  profile_stage& stage_;
  builtin_task task_;
  profile_options in_processes_;
  command_workload commands_;
  int at_once_;
};

struct waiters_by_kind {
  std::optional<waiters_figures> threads;
  std::optional<waiters_figures> coroutines;

  bool complete() const noexcept { return threads && coroutines; }
};

// In a process of its own, so that one does not find memory that the other has left. Nothing when
// it was interrupted. Throws run_error.
std::optional<waiters_figures> measure_waiters(profile_stage& stage, const char* kind) {
  std::optional<waiters_figures> figures;
  stage.run_aside([&](const std::stop_token& stop) {
    process::event_loop loop;
    auto end = process::spawn(loop, {.argv = {own_path(), "profile", "--waiters", kind}},
                              {.collect = process::capture::output, .stop = stop});
    end.on_ready([&loop] { loop.stop(); });
    loop.run();
    try {
      const auto done = end.get();
      if (!done.success()) {
        throw run_error(fmt::format("tasks that wait on {} could not be run: {}", kind,
                                    done.report.signal != 0
                                        ? fmt::format("signal {}", done.report.signal)
                                        : fmt::format("status {}", done.report.status)));
      }
      figures = waiters_from_json(done.out);
    } catch (const cancelled&) {  // a signal came
    }
  });
  return figures;
}

void take(way_figures& figures, const batch& b) {
  const auto seconds = [](nanoseconds time) { return std::chrono::duration<double>(time).count(); };
  const auto tasks = static_cast<double>(b.measured.tasks);
  figures.throughput.add(b.measured.throughput());
  if (b.measured.cpu) figures.cpu.add(seconds(*b.measured.cpu) / tasks);
  if (b.measured.in_tasks) figures.residence.add(seconds(*b.measured.in_tasks) / tasks);
}

bool is_known(const kind_figures& kind, double precision) {
  return std::all_of(kind.by_way.begin(), kind.by_way.end(), [precision](const way_figures& f) {
    return f.throughput.interval().relative_half_width() <= precision;
  });
}

std::string percent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f} %", share * 100) : "-";
}

std::string times(const sizing::estimate& e) {
  if (!std::isfinite(e.low) || !std::isfinite(e.high)) return fmt::format("{:.3g}", e.value);
  return fmt::format("{:.3g} ({:.3g} to {:.3g})", e.value, e.low, e.high);
}

// What a task costs more in a process than on a thread, in CPU seconds.
double cost_of_process(const kind_figures& kind) {
  return std::max(kind.by_way[processes].cpu.mean() - kind.by_way[threads].cpu.mean(), 0.0);
}

// Threads unless something else is clearly faster.
way choose(const kind_figures& kind) {
  constexpr double clearly = 1.05;
  const auto speed = [&kind](way w) { return kind.by_way[w].throughput.mean(); };
  if (speed(threads) * clearly < speed(processes)) return processes;
  return speed(threads) > speed(sequential) * clearly ? threads : sequential;
}

std::string advice(const kind_figures& kind, double cores) {
  const std::string subject =
      kind.work == builtin_work::cpu ? "For work that computes" : "For work that waits";
  const std::string process =
      fmt::format("A process for each task costs {} of CPU more than a thread's task",
                  human(cost_of_process(kind)));
  switch (choose(kind)) {
    case sequential:
      return fmt::format(
          "{} choose one thread: with {:.3g} usable cores, {} of them bring {:.3g} times as much, "
          "which is not worth the trouble.",
          subject, cores, kind.by_way[threads].at_once, kind.speed_up(threads).value);
    case threads:
      return fmt::format(
          "{} choose threads: {} of them bring {:.3g} times as much as one task after the other. "
          "{}: that is for tasks that take much longer, or that must be able to crash alone.",
          subject, kind.by_way[threads].at_once, kind.speed_up(threads).value, process);
    default:
      return fmt::format(
          "{} choose processes: {} of them bring {:.3g} times as much as one task after the other, "
          "threads only {:.3g}.",
          subject, kind.by_way[processes].at_once, kind.speed_up(processes).value,
          kind.speed_up(threads).value);
  }
}

std::string to_text(const std::vector<kind_figures>& kinds, double cores) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const kind_figures& kind : kinds) {
    fmt::format_to(out, "{}: a task {}\n",
                   kind.work == builtin_work::cpu ? "CPU-bound work" : "I/O-bound work",
                   describe(kind.work));
    fmt::format_to(out, "  {:<12}{:>7}{:>10}{:>9}  {:<24}{:>10}{:>11}\n", "", "at once", "tasks/s",
                   "+-", "speed-up", "time/task", "CPU/task");
    for (std::size_t w = 0; w < ways; ++w) {
      const way_figures& f = kind.by_way[w];
      if (f.throughput.count() == 0) continue;
      fmt::format_to(out, "  {:<12}{:>7}{:>10.5g}{:>9}  {:<24}{:>10}{:>11}\n", way_names[w],
                     f.at_once, f.throughput.mean(),
                     percent(f.throughput.interval().relative_half_width()),
                     w == sequential ? "1" : times(kind.speed_up(static_cast<way>(w))),
                     human(f.residence.mean()), human(f.cpu.mean()));
    }
    if (kind.by_way[processes].throughput.count() != 0) {
      text += wrapped(advice(kind, cores), 0, 79) + "\n";
    }
    text += '\n';
  }
  return text;
}

std::string advice(const waiters_figures& threads, const waiters_figures& coroutines) {
  if (!threads.refused.empty()) {
    return fmt::format(
        "More than {} threads are not to be had here ({}). A task that only waits is a coroutine's "
        "work.",
        threads.tasks, threads.refused);
  }
  const auto bytes = [](const waiters_figures& f) {
    return std::max<double>(static_cast<double>(f.bytes + f.in_kernel), 1);
  };
  return fmt::format(
      "For very many tasks that wait choose coroutines: threads take {:.0f} times the memory and "
      "{:.1f} times the CPU time.",
      bytes(threads) / bytes(coroutines),
      threads.cpu_seconds / std::max(coroutines.cpu_seconds, 1e-6));
}

std::string to_text(const waiters_by_kind& waiters) {
  std::string text =
      fmt::format("{} tasks that wait at once: a task {}\n", usual_waiters, describe_waiter());
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "  {:<12}{:>7}{:>10}{:>10}{:>12}{:>14}{:>12}\n", "", "tasks", "time", "CPU",
                 "memory", "in the kernel", "a task");
  const auto kibibytes = [](std::uint64_t bytes) {
    return fmt::format("{:.5g} KiB", static_cast<double>(bytes) / 1024);
  };
  const auto row = [&](const char* name, const waiters_figures& f) {
    fmt::format_to(out, "  {:<12}{:>7}{:>10}{:>10}{:>12}{:>14}{:>12}\n", name, f.tasks,
                   human(f.seconds), human(f.cpu_seconds), kibibytes(f.bytes),
                   kibibytes(f.in_kernel),
                   f.tasks == 0 ? "-" : kibibytes((f.bytes + f.in_kernel) / f.tasks));
  };
  row("threads", *waiters.threads);
  row("coroutines", *waiters.coroutines);
  return text + wrapped(advice(*waiters.threads, *waiters.coroutines), 0, 79) + "\n\n";
}

std::string to_json(const std::vector<kind_figures>& kinds, const waiters_by_kind& waiters,
                    double cores) {
  const auto interval = [](const sizing::estimate& e) {
    const auto number = [](double n) { return std::isfinite(n) ? json(n) : json(); };
    return json{{"value", number(e.value)}, {"low", number(e.low)}, {"high", number(e.high)}};
  };
  json all = json::object();
  all["usable_cores"] = cores;
  for (const kind_figures& kind : kinds) {
    json rows = json::object();
    for (std::size_t w = 0; w < ways; ++w) {
      const way_figures& f = kind.by_way[w];
      if (f.throughput.count() == 0) continue;
      rows[std::string(way_names[w])] = {
          {"at_once", f.at_once},
          {"runs", f.throughput.count()},
          {"tasks_per_second", interval(f.throughput.interval())},
          {"speed_up", interval(kind.speed_up(static_cast<way>(w)))},
          {"residence_seconds", f.residence.mean()},
          {"cpu_seconds", f.cpu.mean()},
      };
    }
    all[std::string(kind.key)] = {{"task", describe(kind.work)},
                                  {"ways", std::move(rows)},
                                  {"choose", way_names[choose(kind)]}};
  }
  if (waiters.complete()) {
    all["waiters"] = {{"task", describe_waiter()},
                      {"threads", json::parse(to_json(*waiters.threads))},
                      {"coroutines", json::parse(to_json(*waiters.coroutines))}};
  }
  return all.dump(2) + '\n';
}

}  // namespace

int compare_ways(const profile_options& options) {
  profile_files files(options);
  profile_stage stage(options.time_limit);
  const double cores = kernel::usable_cores();
  const auto for_waiting = sizing::io_bound(cores, {.wait_to_compute = 50, .cap = 64});

  std::vector<kind_figures> kinds{{builtin_work::cpu, "cpu", {}}, {builtin_work::io, "io", {}}};
  std::vector<std::unique_ptr<contest>> contests;
  contests.push_back(
      std::make_unique<contest>(stage, builtin_work::cpu, kernel::whole_cores(cores)));
  contests.push_back(std::make_unique<contest>(stage, builtin_work::io, for_waiting.size));
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    for (std::size_t w = 0; w < ways; ++w) {
      kinds[k].by_way[w].at_once = contests[k]->at_once(static_cast<way>(w));
    }
  }

  constexpr int least_rounds = 3;
  constexpr int most_rounds = 12;
  const auto length = usual_length(options.time_limit);
  int round = 0;
  std::string now;
  stage.show([&] { return now; });
  const auto enough = [&] {
    if (stage.signal() != 0 || round == most_rounds) return true;
    if (round >= 1 && profile_stage::clock::now() > stage.deadline()) return true;
    return round >= least_rounds && std::all_of(kinds.begin(), kinds.end(), [&](const auto& kind) {
             return is_known(kind, options.precision);
           });
  };
  // Round by round, so that a disturbance does not hit one of them alone.
  for (; !enough(); ++round) {
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      for (std::size_t w = 0; w < ways && stage.signal() == 0; ++w) {
        now = fmt::format("round {}: {}-bound work, {}", round + 1, kinds[k].key, way_names[w]);
        const batch b = contests[k]->run(static_cast<way>(w), length);
        if (!b.refused.empty()) throw run_error(b.refused);
        if (b.complete && b.failed != 0) throw run_error("a task failed: " + b.complaint);
        if (b.complete) take(kinds[k].by_way[w], b);
      }
    }
  }
  waiters_by_kind waiters;
  now = fmt::format("{} tasks that wait, on threads", usual_waiters);
  if (stage.signal() == 0) waiters.threads = measure_waiters(stage, "threads");
  now = fmt::format("{} tasks that wait, on coroutines", usual_waiters);
  if (stage.signal() == 0) waiters.coroutines = measure_waiters(stage, "coroutines");
  stage.clear();
  files.write(fmt::format("{:.3g} usable {}\n\n", cores, cores == 1 ? "core" : "cores") +
                  to_text(kinds, cores) + (waiters.complete() ? to_text(waiters) : ""),
              to_json(kinds, waiters, cores));
  stage.die_if_told();
  return 0;
}

}  // namespace heddle::tool
