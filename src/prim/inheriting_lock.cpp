#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <heddle/prim/fork.hpp>
#include <heddle/prim/inheriting_lock.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>
#include "prim/timespec.hpp"

namespace heddle::inline HEDDLE_ABI::prim {

namespace {

using namespace std::chrono_literals;

static_assert(sizeof(atomic<std::uint32_t>) == 4, "a futex is four bytes");

// FUTEX_LOCK_PI with a deadline on CLOCK_MONOTONIC, since Linux 5.14; headers may be older.
constexpr int futex_lock_pi2 = 13;

// For those whom the kernel does not let wait.
constexpr auto look_again_after = 1ms;

int call_futex(atomic<std::uint32_t>& word, int operation, const timespec* deadline) noexcept {
  const long result = syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word),
                              operation | FUTEX_PRIVATE_FLAG, 0, deadline, nullptr, 0);
  return result == 0 ? 0 : errno;
}

void sleep_until(time_point t) noexcept {
  const timespec limit = to_timespec(t);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &limit, nullptr);
}

void forget_number() { thread_value(thread_slot::kernel_number) = nullptr; }

// The thread that forks goes on in the child under another number.
const fork_part in_forks(nullptr, nullptr, &forget_number);

}  // namespace

namespace detail {

std::uint32_t kernel_thread_word() noexcept {
  void*& known = thread_value(thread_slot::kernel_number);
  if (known == nullptr) [[unlikely]]
    known = reinterpret_cast<void*>(static_cast<std::uintptr_t>(kernel_thread_id()));
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(known));
}

}  // namespace detail

// The kernel refuses to let a thread wait when the chain of holders and waiters leads back to it
// (EDEADLK), when the holder has ended or is of a forked process's parent that has (ESRCH, EPERM),
// when it has no memory (ENOMEM), or no such call (ENOSYS). In all of these the lock may yet be let
// go: somebody in the chain may have a deadline. So the thread looks again from time to time.
bool inheriting_lock::lock_until(time_point deadline) noexcept {
  const bool endless = deadline == never;
  const timespec limit = endless ? timespec{} : to_timespec(deadline);
  while (!try_lock()) {
    const int failure = endless ? call_futex(word_, FUTEX_LOCK_PI, nullptr)
                                : call_futex(word_, futex_lock_pi2, &limit);
    if (failure == 0) {
      // The kernel has written the word. Compilers and sanitizers, which do not know that, see the
      // hand-over by this load and the last access of hand_over().
      word_.load(acquire);
      return true;
    }
    const time_point now = clock::now();
    if (!endless && now >= deadline) return false;
    if (failure != ETIMEDOUT && failure != EINTR)
      sleep_until(std::min(deadline, now + look_again_after));
  }
  return true;
}

// Somebody sleeps in the kernel, or did and has given up; then the kernel makes the word 0.
void inheriting_lock::hand_over() noexcept {
  const std::uint32_t word = word_.load(relaxed);
  if ((word & FUTEX_TID_MASK) != detail::kernel_thread_word()) {
    // Locked before this process was forked off. Who waited for it is not here.
    word_.store(0, release);
    return;
  }
  word_.fetch_or(FUTEX_WAITERS, release);
  call_futex(word_, FUTEX_UNLOCK_PI, nullptr);
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
