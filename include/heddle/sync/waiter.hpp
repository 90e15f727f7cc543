// Who waits for an event: a thread, a continuation, a coroutine.
#pragma once

#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/parker.hpp>

namespace heddle::inline HEDDLE_ABI {

// An intrusive node. While it is attached to an event, `next` belongs to the event. wake() is
// called exactly once by whoever takes the node out of the event to wake it, and may end the node's
// life. Aligned so that the event's word has four bits left beside the node's address.
struct alignas(16) waiter {
  using function = void (*)(waiter*) noexcept;

  explicit waiter(function f) noexcept : wake(f) {}
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  prim::cell<waiter*> next{nullptr};
  const function wake;

 protected:
  ~waiter() = default;
};

// A thread that sleeps in a parker of its own until it is woken.
struct thread_waiter final : waiter {
  thread_waiter() noexcept
      : waiter([](waiter* w) noexcept { static_cast<thread_waiter*>(w)->parker.unpark(); }) {}

  prim::parker parker;
};

}  // namespace heddle::inline HEDDLE_ABI
