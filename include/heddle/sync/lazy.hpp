// A value that is made when it is first needed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// The initializer of a lazy value needs that very value.
class HEDDLE_API recursive_initialization : public error {
 public:
  recursive_initialization();
  ~recursive_initialization() override;
};

// Who makes the value, and whether it is there; for the library's own use.
class HEDDLE_API lazy_core {
 public:
  enum class turn : std::uint8_t {
    ready,    // the value is there
    mine,     // the caller makes it, and then says done() or failed()
    no_time,  // another makes it, and the limit came first
  };

  constexpr lazy_core() noexcept = default;
  explicit lazy_core(std::string_view name) : probe_(wait_kind::lazy, this, name) {}

  bool ready() const noexcept { return word_.load(prim::acquire) == made; }
  turn begin(const wait_limit& limit);
  void done() noexcept { finish(made); }
  void failed() noexcept { finish(nothing); }

  const lock_probe& probe() const noexcept { return probe_; }
  void record(lock_recording what) { probe_.record(what, wait_kind::lazy, this); }

 private:
  // `awaited`: it is being made, and somebody is in the queue. The word becomes that, or ceases to
  // be it, under the lock, together with the queue.
  static constexpr std::uint32_t nothing = 0;
  static constexpr std::uint32_t making = 1;
  static constexpr std::uint32_t awaited = 2;
  static constexpr std::uint32_t made = 3;

  void finish(std::uint32_t result) noexcept;
  bool append(wait_queue::node& n) noexcept;
  bool withdraw(wait_queue::node& n) noexcept;

  prim::atomic<std::uint32_t> word_{nothing};
  prim::atomic<std::uint32_t> maker_{0};  // its prim::thread_number + 1; 0: nobody
  prim::short_lock lock_;
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

// A T that is made by its initializer in the first get(); the same for everybody. Also for static
// objects: `constinit heddle::lazy<config> settings([] { return read_config(); });` is initialized
// at compile time, so that nobody can come too early.
//
// Requires: Initializer takes nothing, and returns what T is made of. T need not be movable.
// When the initializer throws, the exception goes to its caller alone, and the next one that needs
// the value tries again: those who wait for it, or whoever comes.
// An initializer that needs the value itself, on the same thread, gets recursive_initialization.
// Two of them that need each other's values, on two threads, wait for each other.
//
// Memory ordering: the initializer's return synchronizes with each get().
// Blocks? While another thread runs the initializer. A worker that waits lets its pool put a spare
// worker in its place. Once the value is there a get() is one load.
// Throws: get and its kin throw what the initializer throws, and would_starve as blocking_region
// does.
// Destruction: legal when nobody is inside get. The value is destroyed if it was made, then the
// initializer. So static ones die in the reverse order of their definitions in a file, whatever the
// order in which they were made: define what an initializer or a destructor needs before them.
// There is no way to reset it: get() hands out references, and nobody knows when they are no more
// in use.
template <class T, class Initializer = T (*)()>
class lazy {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>);

 public:
  constexpr explicit lazy(Initializer f) noexcept(std::is_nothrow_move_constructible_v<Initializer>)
      : initializer_(std::move(f)) {}
  // With a name for reports. Throws std::bad_alloc.
  lazy(Initializer f, std::string_view name) : core_(name), initializer_(std::move(f)) {}
  lazy(const lazy&) = delete;
  lazy& operator=(const lazy&) = delete;
  ~lazy() {
    if (core_.ready()) std::destroy_at(std::addressof(object));
  }

  T& get() {
    if (!core_.ready()) [[unlikely]]
      make(wait_limit());
    return object;
  }
  T& operator*() { return get(); }
  T* operator->() { return std::addressof(get()); }

  // Null when the deadline passed, or a stop was requested, while another thread was making it. The
  // limits do not hold for the initializer if this call runs it.
  T* get(const prim::stop_token& stop) { return get_within(wait_limit(stop)); }
  T* get_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return get_within(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  T* get_for(std::chrono::duration<Rep, Period> timeout, const prim::stop_token& stop = {}) {
    return get_until(prim::deadline_after(timeout), stop);
  }

  // Null when it has not been made. Makes nothing, waits for nobody.
  T* peek() noexcept { return core_.ready() ? std::addressof(object) : nullptr; }

  // Records the waits for the initializer, whatever the process records. Throws std::bad_alloc.
  void record(lock_recording what) { core_.record(what); }
  // Null when it has none.
  const char* name() const noexcept { return core_.probe().name(); }
  lock_statistics statistics() const { return core_.probe().statistics(); }

 private:
  T* get_within(const wait_limit& limit) {
    return core_.ready() || make(limit) ? std::addressof(object) : nullptr;
  }

  [[gnu::noinline]] bool make(const wait_limit& limit) {
    const lazy_core::turn turn = core_.begin(limit);
    if (turn != lazy_core::turn::mine) return turn == lazy_core::turn::ready;
    try {
      ::new (static_cast<void*>(std::addressof(object))) T(initializer_());
    } catch (...) {
      core_.failed();
      throw;
    }
    core_.done();
    return true;
  }

  lazy_core core_;
  [[no_unique_address]] Initializer initializer_;
  union {
    char unmade = 0;
    T object;
  };
};

template <class F>
lazy(F) -> lazy<std::invoke_result_t<F&>, F>;
template <class F>
lazy(F, std::string_view) -> lazy<std::invoke_result_t<F&>, F>;

}  // namespace heddle::inline HEDDLE_ABI
