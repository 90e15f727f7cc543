// How often a thread has been taken off its CPU, counted by the kernel's performance events.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Counts from its construction on, sleeping and being replaced alike; a thread's `slices` in
// kernel::schedstat tell the same of the other end, where the kernel keeps them, and without asking
// leave. Costs a descriptor. Systems where kernel.perf_event_paranoid is 2 or more, which most are,
// allow it to privileged processes only.
class HEDDLE_API switch_counter {
 public:
  // Of a thread of this process, or one of the same user's; 0 is the calling thread. Some 90 µs,
  // the destruction included.
  explicit switch_counter(pid_t thread = 0) noexcept;

  switch_counter(switch_counter&& other) noexcept;
  switch_counter& operator=(switch_counter&& other) noexcept;
  ~switch_counter();

  bool counts() const noexcept { return descriptor_ >= 0; }

  // Why it does not count, in words; empty when it does.
  std::string why_not(const tree& files = tree{}) const;

  // Nothing when it does not count. Some 0.5 µs. Keeps its last value when the thread has ended.
  std::optional<std::uint64_t> read() const noexcept;

 private:
  int descriptor_ = -1;
  int error_ = 0;
};

// What stands in the way when perf_event_open() fails with `error`, an errno.
HEDDLE_API std::string explain_no_counting(int error, const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
