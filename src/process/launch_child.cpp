// Runs in the child, on the parent's memory and thread-local storage, while the parent's thread
// waits for exec. Hence: system calls only, no library function that a sanitizer intercepts or that
// allocates or locks, and no instrumentation, whose records would be left behind in the parent.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "launch_plan.hpp"

#define HEDDLE_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#if defined(__clang__)
#define HEDDLE_BARE HEDDLE_NO_SANITIZE __attribute__((disable_sanitizer_instrumentation))
#else
#define HEDDLE_BARE HEDDLE_NO_SANITIZE
#endif

namespace heddle::inline HEDDLE_ABI::process {
namespace {

constexpr int first_other_descriptor = 3;

[[noreturn]] HEDDLE_BARE void leave() noexcept {
  for (;;) ::syscall(SYS_exit_group, 127);
}

[[noreturn]] HEDDLE_BARE void fail(launch_plan& plan, launch_step step) noexcept {
  plan.error = errno;
  plan.failed = step;
  leave();
}

// Puts the three standard descriptors in place. A source that is itself 0, 1 or 2 might be
// overwritten before it is used, so it first moves out of the way.
HEDDLE_BARE void place_standard_descriptors(launch_plan& plan) noexcept {
  int* const source = plan.standard;
  for (int target = 0; target < first_other_descriptor; ++target) {
    if (source[target] < 0 || source[target] >= first_other_descriptor) continue;
    if (source[target] == target) continue;
    const long moved = ::syscall(SYS_fcntl, source[target], F_DUPFD, first_other_descriptor);
    if (moved < 0) fail(plan, launch_step::descriptors);
    source[target] = static_cast<int>(moved);
  }
  for (int target = 0; target < first_other_descriptor; ++target) {
    if (source[target] < 0) continue;
    const long placed = source[target] == target ? ::syscall(SYS_fcntl, target, F_SETFD, 0)
                                                 : ::syscall(SYS_dup3, source[target], target, 0);
    if (placed < 0) fail(plan, launch_step::descriptors);
  }
}

HEDDLE_BARE bool is_kept(const launch_plan& plan, int descriptor) noexcept {
  for (std::size_t i = 0; i < plan.kept_count; ++i) {
    if (plan.kept[i] == descriptor) return true;
  }
  return false;
}

HEDDLE_BARE void keep_descriptors(launch_plan& plan) noexcept {
  for (std::size_t i = 0; i < plan.kept_count; ++i) {
    if (::syscall(SYS_fcntl, plan.kept[i], F_SETFD, 0) < 0) fail(plan, launch_step::descriptors);
  }
}

// For kernels before 5.9, and sandboxes that forbid close_range. Reading the directory while
// closing skips entries, so it is read again until nothing is left to close.
HEDDLE_BARE void close_listed_descriptors(launch_plan& plan) noexcept {
  struct entry {
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[1];
  };
  alignas(entry) char buffer[1024];
  const long directory =
      ::syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0) fail(plan, launch_step::descriptors);
  for (bool closed = true; closed;) {
    closed = false;
    ::syscall(SYS_lseek, directory, 0, SEEK_SET);
    long size;
    while ((size = ::syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
      for (long at = 0; at < size;) {
        const auto* const e = reinterpret_cast<const entry*>(buffer + at);
        at += e->length;
        int descriptor = 0;
        const char* digit = e->name;
        for (; *digit >= '0' && *digit <= '9'; ++digit) descriptor = descriptor * 10 + *digit - '0';
        if (digit == e->name || descriptor < first_other_descriptor || descriptor == directory ||
            is_kept(plan, descriptor)) {
          continue;
        }
        ::syscall(SYS_close, descriptor);
        closed = true;
      }
    }
    if (size < 0) fail(plan, launch_step::descriptors);
  }
  ::syscall(SYS_close, directory);
}

#if defined(SYS_close_range)
// Range by range, between those that are kept. False when the kernel does not know how.
HEDDLE_BARE bool close_ranges(const launch_plan& plan) noexcept {
  int first = first_other_descriptor;
  for (std::size_t i = 0; i < plan.kept_count; ++i) {
    const int kept = plan.kept[i];
    if (first < kept && ::syscall(SYS_close_range, first, kept - 1, 0) != 0) return false;
    first = kept + 1;
  }
  return ::syscall(SYS_close_range, first, ~0U, 0) == 0;
}
#endif

HEDDLE_BARE void close_other_descriptors(launch_plan& plan) noexcept {
#if defined(SYS_close_range)
  if (close_ranges(plan)) return;
#endif
  close_listed_descriptors(plan);
}

// Touches the limits of the child alone, though memory is shared. What is open stays open.
HEDDLE_BARE void limit_descriptors(launch_plan& plan) noexcept {
  std::uint64_t limit[2];  // the kernel's rlimit64: soft, hard
  if (::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, limit) < 0)
    fail(plan, launch_step::limit);
  limit[0] = plan.descriptor_limit < limit[1] ? plan.descriptor_limit : limit[1];
  if (::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, limit, nullptr) < 0)
    fail(plan, launch_step::limit);
}

// Default action for every signal. Exec does that for handlers, but not for ignored signals; and a
// handler must be gone before the mask is opened, or it would run here, in the parent's memory.
HEDDLE_BARE void reset_signals() noexcept {
  // The kernel's own sigaction: the handler comes first; all zero is SIG_DFL without flags.
  constexpr int last_signal = 64;
  constexpr long set_size = 8;
  std::uint64_t action[8];
  std::uint64_t none[8] = {};
  for (int number = 1; number <= last_signal; ++number) {
    if (::syscall(SYS_rt_sigaction, number, nullptr, action, set_size) != 0 || action[0] == 0) {
      continue;
    }
    ::syscall(SYS_rt_sigaction, number, none, nullptr, set_size);
  }
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, nullptr, set_size);
}

// Executes one file; returns when it cannot be executed.
HEDDLE_BARE void execute(launch_plan& plan, std::size_t index) noexcept {
  plan.used = index;
  ::syscall(SYS_execve, plan.paths[index], plan.argv, plan.environment);
  if (errno != ENOEXEC) return;
  char* const name = plan.argv[0];
  plan.argv[0] = const_cast<char*>(plan.paths[index]);
  ::syscall(SYS_execve, plan.argv[-1], plan.argv - 1, plan.environment);
  plan.argv[0] = name;
}

// Whether the search goes on with the next directory, as execvp does.
HEDDLE_BARE bool not_found(int error) noexcept {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
         error == ENODEV || error == ETIMEDOUT;
}

[[noreturn]] HEDDLE_BARE void execute_first(launch_plan& plan) noexcept {
  if (plan.hint < plan.path_count) {
    execute(plan, plan.hint);
    if (!not_found(errno)) fail(plan, launch_step::exec);
  }
  bool denied = false;
  for (std::size_t i = 0; i < plan.path_count; ++i) {
    execute(plan, i);
    if (!not_found(errno)) fail(plan, launch_step::exec);
    denied = denied || errno == EACCES;
  }
  if (denied) errno = EACCES;
  fail(plan, launch_step::exec);
}

}  // namespace

HEDDLE_BARE int run_launch_plan(void* argument) noexcept {
  launch_plan& plan = *static_cast<launch_plan*>(argument);
  if (plan.own_group && ::syscall(SYS_setpgid, 0, 0) < 0) fail(plan, launch_step::group);
  if (plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) < 0) {
    fail(plan, launch_step::directory);
  }
  place_standard_descriptors(plan);
  close_other_descriptors(plan);
  keep_descriptors(plan);
  if (plan.limits_descriptors) limit_descriptors(plan);
  reset_signals();
  execute_first(plan);
}

}  // namespace heddle::inline HEDDLE_ABI::process
