#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <heddle/kernel/switch_counter.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

switch_counter::switch_counter(pid_t thread) noexcept {
  // Not restricted to user mode, as unprivileged processes may always ask for: a switch happens in
  // the kernel, and would not be counted.
  perf_event_attr what{};
  what.type = PERF_TYPE_SOFTWARE;
  what.size = sizeof what;
  what.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  constexpr int any_cpu = -1;
  constexpr int no_group = -1;
  descriptor_ = static_cast<int>(
      ::syscall(SYS_perf_event_open, &what, thread, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC));
  if (!counts()) error_ = errno;
}

switch_counter::switch_counter(switch_counter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), error_(other.error_) {}

switch_counter& switch_counter::operator=(switch_counter&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(error_, other.error_);
  return *this;
}

switch_counter::~switch_counter() {
  if (counts()) ::close(descriptor_);
}

std::string switch_counter::why_not(const tree& files) const {
  return counts() ? std::string{} : explain_no_counting(error_, files);
}

std::optional<std::uint64_t> switch_counter::read() const noexcept {
  std::uint64_t count = 0;
  if (!counts() || ::read(descriptor_, &count, sizeof count) != sizeof count) return std::nullopt;
  return count;
}

std::string explain_no_counting(int error, const tree& files) {
  const auto paranoia = files.read("proc/sys/kernel/perf_event_paranoid");
  if ((error == EACCES || error == EPERM) && paranoia)
    return "kernel.perf_event_paranoid is " + std::string(trim(*paranoia)) +
           ": switches may be counted by privileged processes, or where it is 1 or less";
  if (error == ENOSYS || error == ENOENT || error == EOPNOTSUPP)
    return "this kernel has no performance events";
  return "perf_event_open: " + std::generic_category().message(error);
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
