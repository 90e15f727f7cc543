// What events, latches, barriers and semaphores have in common: a queue of those who wait, threads
// as a rule, which sleep until somebody chooses them, a deadline passes, or a stop is requested.
#pragma once

#include <cstdint>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {
struct queue_access;  // coro/awaitables.hpp
}

// How long a wait may last. Refers to the token.
class wait_limit {
 public:
  wait_limit() = default;
  explicit wait_limit(prim::time_point deadline) noexcept : deadline_(deadline) {}
  explicit wait_limit(const prim::stop_token& stop,
                      prim::time_point deadline = prim::never) noexcept
      : deadline_(deadline), stop_(stop.stop_possible() ? &stop : nullptr) {}

  prim::time_point deadline() const noexcept { return deadline_; }
  // Null when no stop can be requested.
  const prim::stop_token* stop() const noexcept { return stop_; }

  // What a wait with this limit shows of itself.
  wait_record record(wait_kind kind, const void* object, const char* name) const noexcept {
    return {.kind = kind,
            .object = object,
            .name = name,
            .deadline = deadline_,
            .stoppable = stop_ != nullptr};
  }

  bool over() const noexcept {
    return (stop_ != nullptr && stop_->stop_requested()) ||
           (deadline_ != prim::never && prim::clock::now() >= deadline_);
  }

 private:
  prim::time_point deadline_ = prim::never;
  const prim::stop_token* stop_ = nullptr;
};

// The queue, eldest first. Its owner guards it by a lock, and wakes whom it has taken after it has
// let go of that lock: with the last wake-up the owner may be gone.
//
// Each entry leaves exactly once: somebody takes it and wakes it, or it is withdrawn and nobody
// wakes it.
class wait_queue {
 public:
  struct entry : waiter {
    explicit entry(function f) noexcept : waiter(f) {}

    entry* before = nullptr;
    entry* after = nullptr;
    std::uint64_t amount = 0;  // what it waits for
    bool listed = false;
    bool refused = false;  // it was taken to be told that its wait has failed

   protected:
    ~entry() = default;
  };

  // A thread's.
  struct node : entry {
    node() noexcept : entry([](waiter* w) noexcept { static_cast<node*>(w)->parker.unpark(); }) {}

    prim::parker parker;
  };

  // Entries that were taken, in the order in which they will be woken.
  class chain {
   public:
    void add(entry& n) noexcept {
      n.after = nullptr;
      (last_ != nullptr ? last_->after : first_) = &n;
      last_ = &n;
    }
    void wake() const noexcept {
      for (entry* n = first_; n != nullptr;) {
        entry* const rest = n->after;  // waking may end the entry
        n->wake(n);
        n = rest;
      }
    }

   private:
    entry* first_ = nullptr;
    entry* last_ = nullptr;
  };

  constexpr wait_queue() noexcept = default;
  wait_queue(const wait_queue&) = delete;
  wait_queue& operator=(const wait_queue&) = delete;

  bool empty() const noexcept { return first_ == nullptr; }
  entry* first() const noexcept { return first_; }

  void append(entry& n) noexcept {
    n.before = last_;
    n.after = nullptr;
    n.listed = true;
    (last_ != nullptr ? last_->after : first_) = &n;
    last_ = &n;
  }

  // Before all others.
  void prepend(entry& n) noexcept {
    n.before = nullptr;
    n.after = first_;
    n.listed = true;
    (first_ != nullptr ? first_->before : last_) = &n;
    first_ = &n;
  }

  // False when somebody has taken it.
  bool withdraw(entry& n) noexcept {
    if (!n.listed) return false;
    unlink(n);
    return true;
  }

  // Requires: n is in the queue.
  void take(entry& n, chain& to, bool refused = false) noexcept {
    unlink(n);
    n.refused = refused;
    to.add(n);
  }
  void take_all(chain& to, bool refused = false) noexcept {
    while (first_ != nullptr) take(*first_, to, refused);
  }

 private:
  void unlink(entry& n) noexcept {
    (n.before != nullptr ? n.before->after : first_) = n.after;
    (n.after != nullptr ? n.after->before : last_) = n.before;
    n.listed = false;
  }

  entry* first_ = nullptr;
  entry* last_ = nullptr;
};

// Sleeps until the thread was chosen and woken: then true, and nothing but the parker is touched
// afterwards. False when the limit came first and `withdraw()` has withdrawn it.
// Requires: it can be chosen, or was; each is chosen and woken once, or withdrawn and not woken;
// the caller is inside a blocking_region. withdraw() tells which, and does not throw.
template <class Withdraw>
bool sleep_until_chosen(prim::parker& parker, const wait_limit& limit, Withdraw withdraw) {
  const auto until_the_deadline = [&] {
    if (parker.park_until(limit.deadline())) return true;
    if (withdraw()) return false;
    parker.park();  // chosen in the last moment: the wake-up is on its way
    return true;
  };
  if (limit.stop() == nullptr) return until_the_deadline();
  bool stopped = false;
  bool woken = false;
  {
    const auto on_stop = [&]() noexcept {
      if (!withdraw()) return;
      stopped = true;
      parker.unpark();
    };
    const prim::stop_callback<decltype(on_stop)> callback(*limit.stop(), on_stop);
    woken = until_the_deadline();
  }
  return woken && !stopped;
}

// The same for a node that is in the queue, or was taken from it since. `withdraw()` withdraws it
// under the lock of the queue.
template <class Withdraw>
bool sleep_in_queue(wait_queue::node& n, const wait_limit& limit, Withdraw withdraw) {
  return sleep_until_chosen(n.parker, limit, withdraw);
}

}  // namespace heddle::inline HEDDLE_ABI
