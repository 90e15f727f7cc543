#include "profile_kernels.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>
#include <thread>
#include <utility>

#include <heddle/exec/profile.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/topology.hpp>

#include "failure.hpp"

namespace heddle::tool {
namespace {

using clock = profile_stage::clock;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr std::size_t read_by_task = (std::size_t{4} << 20) / sizeof(std::uint64_t);

// Results go here, so that no compiler finds out that nobody wants them.
std::atomic<std::uint64_t> unwanted{0};

// Each step needs the one before it.
std::uint64_t spin(std::uint64_t steps) noexcept {
  std::uint64_t x = steps | 1;
  for (std::uint64_t i = 0; i < steps; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  return x;
}

nanoseconds thread_cpu_time() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + nanoseconds(t.tv_nsec);
}

// Steps of spin() in a millisecond of CPU time: the most of several tries, since disturbances only
// make it slower.
std::uint64_t find_steps() noexcept {
  constexpr std::uint64_t tried = 1'000'000;
  double fastest = 0;
  for (int i = 0; i < 20; ++i) {
    // A number of steps that the compiler cannot know, or it computes the result once for all
    // tries.
    const std::uint64_t steps = tried + (unwanted.load(std::memory_order_relaxed) & 1);
    const auto begin = thread_cpu_time();
    unwanted.store(spin(steps), std::memory_order_relaxed);
    const auto took = std::max(thread_cpu_time() - begin, nanoseconds(1));
    fastest = std::max(fastest, static_cast<double>(tried) / static_cast<double>(took.count()));
  }
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(fastest * 1e6), 1);
}

// Four times what all caches hold, within an eighth of the memory there is.
std::size_t words_of_memory() {
  std::uint64_t cached = 0;
  for (const kernel::cache& c : kernel::read_topology().caches) {
    if (c.level >= 2 && c.type != kernel::cache_type::instruction) cached += c.size_bytes;
  }
  std::uint64_t bytes = std::max<std::uint64_t>(std::uint64_t{64} << 20, 4 * cached);
  if (const auto usable = kernel::read_memory().usable_bytes(); usable != 0) {
    bytes = std::min(bytes, usable / 8);
  }
  return std::max<std::size_t>(bytes / sizeof(std::uint64_t), 2 * read_by_task);
}

struct usage {
  nanoseconds cpu{};
  std::uint64_t voluntary_switches = 0;
};

// Of the whole process, which does nothing else meanwhile.
usage usage_now() noexcept {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  const auto time = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return {time(u.ru_utime) + time(u.ru_stime), static_cast<std::uint64_t>(u.ru_nvcsw)};
}

// A signal ended it early, or Ctrl-Z came between.
void forbid_pauses(batch& b, const profile_stage& stage, unsigned pauses) {
  b.complete = b.complete && stage.signal() == 0 && stage.pauses() == pauses;
}

}  // namespace

builtin_task::builtin_task(builtin_work what, std::uint64_t steps)
    : what_(what), steps_(steps != 0 ? steps : find_steps()) {
  if (what != builtin_work::memory) return;
  try {
    memory_.assign(words_of_memory(), 1);
  } catch (const std::bad_alloc&) {
    throw run_error("not enough memory for the memory kernel");
  }
}

void builtin_task::compute(double milliseconds) const noexcept {
  const auto steps = static_cast<std::uint64_t>(milliseconds * static_cast<double>(steps_));
  unwanted.store(spin(steps), std::memory_order_relaxed);
}

void builtin_task::read_memory() noexcept {
  // Threads go through memory behind each other, so that what one has read into a cache that all
  // share is gone again before the next one comes there.
  static std::atomic<std::size_t> turn{0};
  const std::size_t parts = memory_.size() / read_by_task;
  const std::size_t part = turn.fetch_add(1, std::memory_order_relaxed) % parts;
  const std::uint64_t* const from = memory_.data() + part * read_by_task;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < read_by_task; ++i) sum += from[i];
  unwanted.store(sum, std::memory_order_relaxed);
}

void builtin_task::operator()() {
  switch (what_) {
    case builtin_work::cpu:
      return compute(1);
    case builtin_work::io:
      compute(0.2);
      return std::this_thread::sleep_for(10ms);
    case builtin_work::memory:
      return read_memory();
    case builtin_work::lock: {
      compute(0.5);
      const std::lock_guard lock(shared_);
      return compute(0.5);
    }
    case builtin_work::mixed:
      compute(0.5);
      return std::this_thread::sleep_for(2ms);
  }
}

std::string_view describe(builtin_work what) noexcept {
  switch (what) {
    case builtin_work::cpu:
      return "computes 1 ms";
    case builtin_work::io:
      return "waits 10 ms, computes 0.2 ms";
    case builtin_work::memory:
      return "reads 4 MiB that are in no cache";
    case builtin_work::lock:
      return "computes 1 ms, half of it under one lock";
    case builtin_work::mixed:
      return "waits 2 ms, computes 0.5 ms";
  }
  return "";
}

sizing::profile_report profile_kernel(profile_stage& stage, const profile_options& options,
                                      int most) {
  builtin_task task(*options.kernel);
  std::mutex guard;
  profile_progress progress;  // under the guard

  heddle::profile_options how;
  how.name =
      fmt::format("kernel {}: a task {}", to_string(*options.kernel), describe(*options.kernel));
  how.sizes = options.sizes;
  how.most = most;
  how.precision = options.precision;
  how.max_repetitions = most_repetitions;
  how.measurement = usual_length(options.time_limit / 3);
  how.time_limit = options.time_limit;
  how.on_progress = [&](const profile_progress& now) {
    const std::lock_guard lock(guard);
    progress = now;
  };
  stage.show([&] {
    const std::lock_guard lock(guard);
    return progress_line(stage, "threads", progress.size, progress.measured, progress.expected);
  });
  sizing::profile_report report;
  stage.run_aside([&](const std::stop_token& stop) {
    how.stop = stop;
    report = heddle::profile(task, std::move(how));
  });
  stage.clear();
  return report;
}

batch run_on_threads(profile_stage& stage, builtin_task& task, int size, nanoseconds length) {
  heddle::profile_options how;
  how.sizes = {size};
  how.min_repetitions = how.max_repetitions = 1;
  how.measurement = length;
  how.with_adaptive = false;
  const unsigned pauses = stage.pauses();
  batch done;
  stage.run_aside([&](const std::stop_token& stop) {
    how.stop = stop;
    const auto report = heddle::profile(task, std::move(how));
    if (report.measurements.empty()) return;
    done.measured = report.measurements.front();
    done.complete = true;
  });
  forbid_pauses(done, stage, pauses);
  return done;
}

batch run_sequentially(profile_stage& stage, builtin_task& task, nanoseconds length) {
  const unsigned pauses = stage.pauses();
  batch done;
  stage.run_aside([&](const std::stop_token& stop) {
    const usage before = usage_now();
    const auto begin = clock::now();
    do {
      task();
      ++done.measured.tasks;
    } while (clock::now() < begin + length && !stop.stop_requested());
    const usage after = usage_now();
    done.measured.elapsed = clock::now() - begin;
    done.measured.in_tasks = done.measured.elapsed;
    done.measured.cpu = after.cpu - before.cpu;
    done.measured.voluntary_switches = after.voluntary_switches - before.voluntary_switches;
    done.complete = true;
  });
  forbid_pauses(done, stage, pauses);
  return done;
}

}  // namespace heddle::tool
