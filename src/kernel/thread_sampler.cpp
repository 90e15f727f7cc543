#include <sys/resource.h>
#include <sys/time.h>

#include <array>
#include <string>

#include <heddle/kernel/thread_sampler.hpp>

#include "kernel/cpu_clock.hpp"

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

std::chrono::nanoseconds to_duration(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

thread_sampler::thread_sampler(pid_t thread, const tree& files)
    : thread_(thread),
      has_clock_(files.live()),
      schedstat_(files, "proc/self/task/" + std::to_string(thread) + "/schedstat") {
  std::array<char, 128> buffer;
  const auto text = schedstat_.read(buffer);
  if (!text || !parse_schedstat(*text)) schedstat_.close();
}

std::optional<schedstat> thread_sampler::sample() const noexcept {
  if (thread_ <= 0) return std::nullopt;
  schedstat now;
  if (has_clock_) {
    // First, since it tells threads of this process from others.
    const auto running = read_cpu_clock(clock_of::thread, thread_);
    if (!running) return std::nullopt;
    now.running = *running;
  }
  if (!knows_waiting()) return has_clock_ ? std::optional(now) : std::nullopt;
  std::array<char, 128> buffer;
  const auto text = schedstat_.read(buffer);
  const auto books = text ? parse_schedstat(*text) : std::nullopt;
  if (!books) return std::nullopt;
  now.waiting = books->waiting;
  now.slices = books->slices;
  if (!has_clock_) now.running = books->running;
  return now;
}

thread_usage own_usage() noexcept {
  rusage use{};
  ::getrusage(RUSAGE_THREAD, &use);
  return {to_duration(use.ru_utime), to_duration(use.ru_stime),
          static_cast<std::uint64_t>(use.ru_nvcsw), static_cast<std::uint64_t>(use.ru_nivcsw),
          static_cast<std::uint64_t>(use.ru_majflt)};
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
