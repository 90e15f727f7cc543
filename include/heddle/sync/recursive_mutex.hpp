// A mutex that the thread which holds it may lock again.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

// Meets the standard's TimedMutex requirements; the thread that holds it gets it at once, and lets
// it go with as many unlocks as it made locks. In all else it is heddle::mutex: fairness, blocking,
// memory ordering, would_starve, misuse, destruction. Statistics count the outermost lock.
// Throws: locks throw std::system_error (resource_unavailable_try_again) when held max_depth()
// times; try_lock returns false then.
class HEDDLE_API HEDDLE_CAPABILITY("mutex") recursive_mutex {
 public:
  constexpr recursive_mutex() noexcept = default;
  // With a name for reports, which is copied. Throws std::bad_alloc.
  explicit recursive_mutex(std::string_view name) : mutex_(name) {}
  recursive_mutex(const recursive_mutex&) = delete;
  recursive_mutex& operator=(const recursive_mutex&) = delete;

  static constexpr std::uint32_t max_depth() noexcept {
    return std::numeric_limits<std::uint32_t>::max();
  }

  void lock() HEDDLE_ACQUIRE() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (is_mine()) {
      if (!enter_again()) too_deep();
      return;
    }
    mutex_.lock();
    enter();
  }
  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (is_mine()) return enter_again();
    if (!mutex_.try_lock()) return false;
    enter();
    return true;
  }
  bool try_lock_until(prim::time_point deadline)
      HEDDLE_TRY_ACQUIRE(true) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (is_mine()) {
      if (!enter_again()) too_deep();
      return true;
    }
    if (!mutex_.try_lock_until(deadline)) return false;
    enter();
    return true;
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout) HEDDLE_TRY_ACQUIRE(true) {
    return try_lock_until(prim::deadline_after(timeout));
  }

  // Requires: the calling thread holds the lock.
  void unlock() noexcept HEDDLE_RELEASE() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (lock_probe::checked() && !is_mine()) [[unlikely]] {
      mutex_.probe_.misused("unlock of", wait_kind::mutex, this);
    }
    const std::uint32_t left = depth_.get() - 1;
    depth_.set(left);
    if (left != 0) return;
    owner_.store(0, prim::relaxed);
    mutex_.unlock();
  }

  // As those of heddle::mutex, but that the owner is always known.
  void record(lock_recording what) { mutex_.record(what); }
  lock_statistics statistics() const { return mutex_.statistics(); }
  const char* name() const noexcept { return mutex_.name(); }
  std::uint32_t owner() const noexcept {
    const std::uint32_t mark = owner_.load(prim::relaxed);
    return mark == 0 ? 0 : mark - 1;
  }

 private:
  static std::uint32_t mark_of_this_thread() noexcept { return prim::thread_number() + 1; }
  // Only the thread itself puts its mark there, and takes it out again.
  bool is_mine() const noexcept { return owner_.load(prim::relaxed) == mark_of_this_thread(); }
  void enter() noexcept {
    owner_.store(mark_of_this_thread(), prim::relaxed);
    depth_.set(1);
  }
  bool enter_again() noexcept {
    const std::uint32_t depth = depth_.get();
    if (depth == max_depth()) return false;
    depth_.set(depth + 1);
    return true;
  }
  [[noreturn]] static void too_deep();

  mutex mutex_;
  prim::atomic<std::uint32_t> owner_{0};  // 0 while nobody holds it
  prim::cell<std::uint32_t> depth_{0};
};

}  // namespace heddle::inline HEDDLE_ABI
