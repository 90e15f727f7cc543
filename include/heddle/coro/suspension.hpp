// How a task waits for something that is no task. Users need await.hpp and delay.hpp.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include <heddle/coro/frame.hpp>
#include <heddle/future/room.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What an awaiter is made of: it enters some list, and whoever takes it out of there again, for
// what is waited for has happened, or a stop is requested, lets the task go on.
//
// The task goes on when both have come here: the thread that suspends it, and does with the awaiter
// what it has to, and the one that took the awaiter out of the list. So neither finds it gone.
// Protocol: docs/protocols/coroutines.md.
class HEDDLE_API suspension {
 public:
  suspension(const suspension&) = delete;
  suspension& operator=(const suspension&) = delete;

  bool await_ready() const noexcept { return false; }
  // False: there is nothing to wait for. Throws what entering the list throws.
  template <std::derived_from<task_frame> P>
  bool await_suspend(std::coroutine_handle<P> h) {
    return begin(h.promise());
  }

 protected:
  // The two steps that each kind has of its own, called by the base.
  struct steps {
    // False when it has happened: nobody knows the awaiter. May throw; then the same.
    bool (*enter)(suspension&);
    // False when somebody has taken it, who will call arrive().
    bool (*leave)(suspension&) noexcept;
  };
  enum class ending : std::uint8_t { happened, stopped, given_up };

  explicit suspension(const steps& kind) noexcept : kind_(kind) {}
  ~suspension();

  // Goes on when nobody is left to arrive. By whoever has taken it; nothing is touched afterwards.
  void arrive() noexcept;
  void arrive(ending how) noexcept {
    ending_.set(how);
    arrive();
  }
  // For one who has taken it and wants to let go of it for a while: until the matching arrive().
  void stay() noexcept { parties_.fetch_add(1, prim::relaxed); }

  // By the task, when it goes on; true when it has what it waited for, and is on its executor.
  bool end() noexcept;
  // When end() has said no. Throws cancelled.
  [[noreturn]] void throw_ending() const;
  // The same, for kinds that have nothing to give back.
  void end_or_throw() {
    if (!end()) throw_ending();
  }
  bool happened() const noexcept { return ending_.get() == ending::happened; }
  bool stop_requested() const noexcept { return task_ != nullptr && task_->stop_requested(); }

 private:
  struct trip {
    suspension& self;
    void operator()() const noexcept;
  };
  using callback = prim::stop_callback<trip>;

  bool begin(task_frame& task);

  const steps& kind_;
  task_frame* task_ = nullptr;
  prim::atomic<unsigned> parties_{2};
  prim::cell<ending> ending_{ending::happened};
  bool refused_ = false;
  bool has_callback_ = false;
  room_for<callback> callback_;
};

// In the list of an object of sync/, or of a future.
class HEDDLE_API queued_suspension : public suspension, public wait_queue::entry {
 protected:
  explicit queued_suspension(const steps& kind, waiter::function woken = &taken) noexcept
      : suspension(kind), entry(woken) {}
  ~queued_suspension() = default;

  static queued_suspension& of(suspension& s) noexcept {
    return static_cast<queued_suspension&>(s);
  }
  static void taken(waiter* w) noexcept {
    static_cast<queued_suspension*>(static_cast<entry*>(w))->arrive();
  }
};

}  // namespace heddle::inline HEDDLE_ABI::detail
