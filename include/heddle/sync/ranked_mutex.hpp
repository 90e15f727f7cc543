// Locks that are taken in the order of their levels, or not at all: deadlocks that cannot happen.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

#include <heddle/base/errors.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

// A thread wanted a lock out of order, or once more. what() names both locks, their levels, and
// where the first was taken. Nothing was acquired.
class HEDDLE_API lock_order_error : public error {
 public:
  using error::error;
  ~lock_order_error() override;
};

namespace detail {

// A mutex with a place in an order, and a place in the list of what its holder holds. Levels are
// compared within one order.
class HEDDLE_API ordered_mutex {
 public:
  using place = std::source_location;

  constexpr ordered_mutex(const void* order, unsigned level, bool recursive) noexcept
      : order_(order), level_(level), recursive_(recursive) {}
  ordered_mutex(const void* order, unsigned level, bool recursive, std::string_view name)
      : mutex_(name), order_(order), level_(level), recursive_(recursive) {}

  unsigned level() const noexcept { return level_; }
  mutex& inner() noexcept { return mutex_; }

  bool lock_until(prim::time_point deadline, const place& where);
  bool try_lock(const place& where);
  void unlock() noexcept;
  // All, lower levels first, those of one level as they come; or none. Sorts them.
  static bool lock_all(std::span<ordered_mutex*> wanted, prim::time_point deadline,
                       const place& where);

 private:
  // Throws unless the calling thread may wait for this now.
  void check_turn(const place& where) const;
  void check_not_held(const place& where) const;
  [[noreturn]] void refuse(const char* why, const ordered_mutex& held, const place& where) const;
  std::string description() const;
  bool held_by_this_thread() const noexcept;
  bool acquire(prim::time_point deadline, const place& where);
  void enlist(const place& where) noexcept;

  mutex mutex_;
  const void* const order_;
  const unsigned level_;
  const bool recursive_;
  // The holder's alone.
  std::uint32_t depth_ = 0;
  place taken_at_;
  ordered_mutex* next_held_ = nullptr;
};

}  // namespace detail

// A mutex whose level is part of its type. A thread waits only for levels above all that it holds;
// else lock throws lock_order_error, in the first run that tries it, without a deadlock having to
// happen. Levels are an order of the whole program.
//
// Meets the standard's TimedMutex requirements, so std::lock_guard and the like work; but a
// ranked_lock notes where it stands, and has its order checked by the compiler.
// Throws lock_order_error for a level that is not above those held, and for a second lock by the
// same thread; then nothing has changed. try_lock, which never waits, takes any level.
// In all else as heddle::mutex. Complexity: linear in the ranked locks that the thread holds.
template <unsigned Level>
class HEDDLE_CAPABILITY("mutex") ranked_mutex {
 public:
  static constexpr unsigned level = Level;

  constexpr ranked_mutex() noexcept : core_(nullptr, Level, false) {}
  // With a name for errors and reports, which is copied. Throws std::bad_alloc.
  explicit ranked_mutex(std::string_view name) : core_(nullptr, Level, false, name) {}
  ranked_mutex(const ranked_mutex&) = delete;
  ranked_mutex& operator=(const ranked_mutex&) = delete;

  void lock(std::source_location where = std::source_location::current()) HEDDLE_ACQUIRE() {
    core_.lock_until(prim::never, where);
  }
  bool try_lock(std::source_location where = std::source_location::current())
      HEDDLE_TRY_ACQUIRE(true) {
    return core_.try_lock(where);
  }
  bool try_lock_until(prim::time_point deadline,
                      std::source_location where = std::source_location::current())
      HEDDLE_TRY_ACQUIRE(true) {
    return core_.lock_until(deadline, where);
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout,
                    std::source_location where = std::source_location::current())
      HEDDLE_TRY_ACQUIRE(true) {
    return core_.lock_until(prim::deadline_after(timeout), where);
  }
  void unlock() noexcept HEDDLE_RELEASE() { core_.unlock(); }

  // As those of heddle::mutex.
  void record(lock_recording what) { core_.inner().record(what); }
  lock_statistics statistics() { return core_.inner().statistics(); }
  const char* name() noexcept { return core_.inner().name(); }

 private:
  template <class...>
  friend class ranked_lock;

  detail::ordered_mutex core_;
};

// Holds one or several ranked mutexes for a scope: acquired in the order of their levels, however
// they are named here, and released in reverse. Of two that stand inside each other the inner one
// can name the outer one; then the compiler checks the order:
//
//   ranked_lock accounts(account_mutex);              // level 10
//   ranked_lock audit(accounts, audit_mutex);         // level 20: compiles only if it is above 10
//
// Throws lock_order_error as the mutexes do; then none is held.
// Requires: it is destroyed by the thread that made it.
template <class... Mutexes>
class ranked_lock {
  static_assert(sizeof...(Mutexes) > 0, "a ranked_lock locks at least one mutex");

  static constexpr auto levels = [] {
    std::array<unsigned, sizeof...(Mutexes)> sorted{Mutexes::level...};
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }();
  static_assert(std::adjacent_find(levels.begin(), levels.end()) == levels.end(),
                "mutexes of one level have no order between them");

 public:
  static constexpr unsigned lowest_level = levels.front();
  static constexpr unsigned highest_level = levels.back();

  explicit ranked_lock(Mutexes&... mutexes,
                       std::source_location where = std::source_location::current())
      : held_{&mutexes.core_...} {
    detail::ordered_mutex::lock_all(held_, prim::never, where);
  }
  template <class... Outer>
  explicit ranked_lock(const ranked_lock<Outer...>&, Mutexes&... mutexes,
                       std::source_location where = std::source_location::current())
      : ranked_lock(mutexes..., where) {
    static_assert(ranked_lock<Outer...>::highest_level < lowest_level,
                  "an inner lock's level is above that of the outer one");
  }
  ~ranked_lock() {
    for (std::size_t i = held_.size(); i > 0; --i) held_[i - 1]->unlock();
  }
  ranked_lock(const ranked_lock&) = delete;
  ranked_lock& operator=(const ranked_lock&) = delete;

 private:
  std::array<detail::ordered_mutex*, sizeof...(Mutexes)> held_;
};

template <unsigned... Levels>
ranked_lock(ranked_mutex<Levels>&...) -> ranked_lock<ranked_mutex<Levels>...>;
template <class... Outer, unsigned... Levels>
ranked_lock(const ranked_lock<Outer...>&, ranked_mutex<Levels>&...)
    -> ranked_lock<ranked_mutex<Levels>...>;

}  // namespace heddle::inline HEDDLE_ABI
