// Computations of cached values that are under way, and those who wait for them. For the library's
// own use.
#pragma once

#include <cstdint>
#include <exception>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

struct flight_waiter;

// One computation. Lives on the stack of the thread that computes, its leader.
struct flight {
  std::uint64_t hash = 0;
  const void* key = nullptr;       // the leader's
  std::uint32_t leader = 0;        // prim::thread_number
  bool listed = false;             // false: its result must not be kept
  unsigned generation = 0;         // prim::fork_generation, of those who wait
  flight* next = nullptr;          // of the list
  flight_waiter* first = nullptr;  // the eldest
  flight_waiter* last = nullptr;
};

// How a wait for a computation ended.
enum class flight_end : std::uint8_t {
  value,  // which the leader has put where the waiter wants it
  error,  // which it has put into the waiter
  lead,   // the leader was cancelled; the waiter computes in its place
  again,  // the same, but somebody has changed the key's value meanwhile
};

// Whether a thread waits for a computation.
enum class attachment : std::uint8_t {
  waits,
  ended,   // there is none any more
  own,     // the thread itself leads it
  circle,  // its leader waits, by way of other computations, for the thread
};

// One that waits; on the stack of its thread.
struct flight_waiter {
  prim::parker parker;
  flight* in = nullptr;  // whose queue it is in; under the lock of the part
  flight_waiter* before = nullptr;
  flight_waiter* next = nullptr;
  flight_waiter* next_edge = nullptr;
  std::uint32_t thread = 0;               // its own number
  prim::atomic<std::uint32_t> leader{0};  // whom it waits for; for whoever looks at the wait
  prim::cell<flight_end> end{flight_end::again};
  std::exception_ptr error;
  flight own;  // once it leads; its key is there from the beginning

 protected:
  ~flight_waiter() = default;
};

// The computations of one part of a cache; under the lock of that part. Protocol:
// docs/protocols/cache.md.
class HEDDLE_API flight_list {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  // The one for this key, or null. is_it(const void*) compares.
  template <class Match>
  flight* find(std::uint64_t hash, Match is_it) const {
    for (flight* f = first_; f != nullptr; f = f->next) {
      if (f->hash == hash && is_it(f->key)) return f;
    }
    return nullptr;
  }

  // The calling thread leads it from now on.
  void begin(flight& f) noexcept;
  // Nobody joins it any more, and its result must not be kept.
  void drop(flight& f) noexcept;
  void drop_all() noexcept {
    while (first_ != nullptr) drop(*first_);
  }

  // The waiter is the last in the queue, unless its wait would never end.
  static attachment attach(flight& f, flight_waiter& w) noexcept;
  // It gives up. False when it is in no queue any more, and a wake-up is on its way.
  static bool withdraw(flight_waiter& w) noexcept;

  // The leader has a result, of whichever kind: those who wait belong to it alone from now on.
  // Returns whether the result may be kept.
  bool end(flight& f) noexcept;
  // The leader was cancelled: the eldest waiter leads, and is to be woken. Null when nobody waits,
  // or somebody has dropped it; then it has ended.
  flight_waiter* hand_over(flight& f) noexcept;

 private:
  void unlink(flight& f) noexcept;

  flight* first_ = nullptr;
};

// Wakes all who wait for a computation that has ended; give(w) says how the wait ends, before the
// thread is woken. Afterwards they are gone.
template <class Give>
void wake_waiters(flight& f, Give give) noexcept {
  flight_waiter* w = f.first;
  f.first = f.last = nullptr;
  while (w != nullptr) {
    flight_waiter* const rest = w->next;
    give(*w);
    w->parker.unpark();  // with which it may be gone
    w = rest;
  }
}

// What the wait shows of itself: whose thread it waits for, where, and until when.
HEDDLE_API wait_record flight_record(const flight_waiter& w, const wait_limit& limit,
                                     const void* cache, const char* name) noexcept;
// Throws recursive_computation for own and circle.
HEDDLE_API void refuse_recursion(attachment a);

}  // namespace heddle::inline HEDDLE_ABI::detail
