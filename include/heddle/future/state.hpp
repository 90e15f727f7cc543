// What a future and its producer share. Users need future.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/future/room.hpp>
#include <heddle/future/stop_link.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {
class unique_task;
}

namespace heddle::inline HEDDLE_ABI::detail {

// How it ended. Cancelled and broken need no exception object until somebody asks for one.
enum class outcome : std::uint8_t { none, value, error, cancelled, broken };

// What a state tells itself. Its job's function is its only virtual function, and understands these
// besides what a queue says.
struct own_verb {
  static constexpr verb destroy{3};       // end, and give the memory back
  static constexpr verb drop_work{4};     // free the callable of work that will not be done
  static constexpr verb request_stop{5};  // the work runs, or is over: ask it to stop
};

// Two sides share it: the consumers (futures, and what waits for them), who are counted, and the
// producer (the entry in a queue, a promise, an attached continuation), of which there is one.
//
// Three marks beside the waiters' list tell who is done with it: `claimed`, `entry_gone` (the
// producer's hold) and `unwanted` (the last consumer has left). Each is set once. The state is
// destroyed by whoever brings the last of three things about: it is ready, its entry is gone, it is
// unwanted.
//
// Whoever claims it, and nobody else, stores its outcome and then finishes it. A worker, a helper,
// a canceller and a promise compete for the claim; an entry left in a queue by the loser of that
// race is a tombstone. Protocol: docs/protocols/future.md.
class HEDDLE_API future_state : public job {
 public:
  bool ready() const noexcept { return completion_.done(); }
  completion& event() noexcept { return completion_; }
  executor_ref home() const noexcept { return home_; }

  // One consumer more, on the word of one that there is.
  void retain() noexcept { consumers_.fetch_add(1, prim::relaxed); }
  // One less. The only one there is needs no read-modify-write to know it.
  void release() noexcept {
    if (consumers_.load(prim::acquire) == 1 || consumers_.fetch_sub(1, prim::acq_rel) == 1) {
      leave_unwanted();
    }
  }
  bool unwanted() const noexcept { return completion_.look(prim::relaxed).has(mark_unwanted); }

  // The claim of somebody who has no entry: a canceller, a promise.
  bool try_claim() noexcept {
    return !completion_.look(prim::relaxed).has(mark_claimed) &&
           !completion_.set(mark_claimed, prim::relaxed).has(mark_claimed);
  }
  // The claim of a helper, whose queue keeps its entry.
  bool try_claim_ahead() noexcept {
    if (!try_claim()) return false;
    spent.store(true, prim::release);
    return true;
  }
  // The claim of the entry, which is gone with it. False: the entry was a tombstone, and the state
  // may be destroyed.
  bool try_claim_entry() noexcept {
    const auto before = completion_.set(mark_claimed | mark_entry_gone, prim::acq_rel);
    if (!before.has(mark_claimed)) return true;
    if (before.done() && before.has(mark_unwanted)) destroy();
    return false;
  }
  // The entry goes, and somebody else has claimed, or will. The state may be destroyed.
  void drop_entry() noexcept {
    const auto before = completion_.set(mark_entry_gone, prim::acq_rel);
    if (before.done() && before.has(mark_unwanted)) destroy();
  }
  // The queue gives the work up. The state may be destroyed.
  void discard_entry() noexcept;

  // Completes it as cancelled if nobody has begun; else asks the work to stop and returns false.
  bool cancel() noexcept;

  // For the claimer: the end, by one read-modify-write. The state may be destroyed. `entry::drop`
  // is for producers whose hold goes at the same time.
  enum class entry : bool { keep, drop };
  void finish_with(outcome how, std::exception_ptr error = nullptr, entry e = entry::keep) noexcept;
  // The value has been stored.
  void finish_with_value(entry e = entry::keep) noexcept {
    outcome_.set(outcome::value);
    finish(e);
  }

  // Waits; on a worker of home() it may do the work itself. Throws would_starve, forked,
  // deadlock_error.
  void await() {
    if (!ready()) await_slowly();
  }
  // These run nothing; false at the limit.
  bool await_until(prim::time_point deadline);
  bool await(const prim::stop_token& stop);
  // As await(), but where that would throw it waits without a stand-in. (Not for another process.)
  void await_regardless() noexcept;

  // Throws `forked` if nobody in this process will ever make it ready.
  void require_own_process() const;

  // What stands behind it in its cell. Told by its maker, before anybody else knows it.
  void note_appendix(bool context, bool link) noexcept {
    has_context_ = context;
    has_link_ = link;
  }
  bool has_context() const noexcept { return has_context_; }
  bool has_link() const noexcept { return has_link_; }

  // Require ready().
  outcome how() const noexcept { return outcome_.get(); }
  bool failed() const noexcept { return how() != outcome::value; }
  // Counts as reading: the exception is no longer unhandled. Null for a value.
  // Throws std::bad_alloc.
  std::exception_ptr read_error();
  void mark_error_read() noexcept { error_read_.store(true, prim::relaxed); }
  // Throws the error, if there is one, and keeps it for others.
  void rethrow_error();
  // For the only reader.
  void give_error_away();

 protected:
  // An error, a small value, and before them a small callable.
  using slot_room = room<8, 8>;
  template <class T>
  static constexpr bool fits_slot =
      sizeof(T) <= sizeof(slot_room) && alignof(T) <= alignof(slot_room);

  static constexpr auto mark_claimed = completion::marks::first;
  static constexpr auto mark_entry_gone = completion::marks::second;
  static constexpr auto mark_unwanted = completion::marks::third;

  // With an entry, and one consumer.
  future_state(job::function does, executor_ref home) noexcept
      : job(does), generation_(prim::fork_generation() & generation_mask), home_(home) {}
  // Ready, without an entry.
  future_state(job::function does, completion::happened_t happened) noexcept
      : job(does),
        completion_(happened, mark_claimed | mark_entry_gone),
        outcome_(outcome::value),
        generation_(prim::fork_generation() & generation_mask) {}
  ~future_state();

  void finish(entry e) noexcept;

  prim::cell<slot_room>& slot() noexcept { return slot_; }

 private:
  static constexpr unsigned generation_mask = 0x3fff;

  bool was_left_behind() const noexcept;
  void destroy() noexcept { run(this, own_verb::destroy); }
  void leave_unwanted() noexcept;
  void await_slowly();

  // In the order in which a worker and a reader need them: all within the cell's first line.
  completion completion_;
  prim::atomic<std::uint32_t> consumers_{1};
  prim::cell<outcome> outcome_{outcome::none};
  prim::atomic<bool> error_read_{false};
  const std::uint16_t generation_ : 14;  // of forks, when it was made
  std::uint16_t has_context_ : 1 = 0;
  std::uint16_t has_link_ : 1 = 0;
  const executor_ref home_;
  prim::cell<slot_room> slot_;
};

// Posts the task when the state is ready, in its turn among those who wait. Throws std::bad_alloc,
// forked.
HEDDLE_API void call_when_ready(future_state& state, executor_ref where, unique_task task);

// A value as it is kept: references as pointers, void as a token.
struct no_value {};
template <class T>
using stored = std::conditional_t<
    std::is_void_v<T>, no_value,
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

template <class T>
class typed_state : public future_state {
 public:
  using kept = stored<T>;

  // For the claimer. Throws what making the value throws; then nothing has been stored.
  template <class... Args>
  void emplace(Args&&... args) {
    if constexpr (std::is_reference_v<T>) {
      keep(std::addressof(args)...);
    } else {
      keep(std::forward<Args>(args)...);
    }
  }

  template <class... Args>
  void finish_with_value_of(Args&&... args) {
    emplace(std::forward<Args>(args)...);
    this->finish_with_value();
  }

  // Requires ready(). Moves the value out, or throws the error, which nobody else will want.
  T take() {
    if (this->failed()) this->give_error_away();
    return place().write([](auto& r) -> T {
      if constexpr (std::is_reference_v<T>) {
        return static_cast<T>(**r.template as<kept>());
      } else if constexpr (!std::is_void_v<T>) {
        return std::move(*r.template as<kept>());
      }
    });
  }

  // Requires ready(). A reference to the value, for one of several readers; or throws the error.
  decltype(auto) view() {
    this->rethrow_error();
    if constexpr (std::is_reference_v<T>) {
      return place().read(
          [](const auto& r) -> T { return static_cast<T>(**r.template as<kept>()); });
    } else if constexpr (!std::is_void_v<T>) {
      return place().read([](const auto& r) -> const kept& { return *r.template as<kept>(); });
    }
  }

 protected:
  // Small values stand in the slot; making room for one must not fail.
  static constexpr bool value_in_slot =
      future_state::fits_slot<kept> && std::is_nothrow_move_constructible_v<kept>;

  using future_state::future_state;
  ~typed_state() {
    if constexpr (!std::is_trivially_destructible_v<kept>) {
      if (this->how() != outcome::value) return;
      place().write([](auto& r) { std::destroy_at(r.template as<kept>()); });
    }
  }

  template <class... Args>
  void keep(Args&&... args) {
    place().write([&](auto& r) { r.template construct<kept>(std::forward<Args>(args)...); });
  }

 private:
  struct nowhere {};

  auto& place() noexcept {
    if constexpr (value_in_slot) {
      return this->slot();
    } else {
      return value_;
    }
  }

  [[no_unique_address]] std::conditional_t<value_in_slot, nowhere, prim::cell<room_for<kept>>>
      value_;
};

// Cells of states. Behind a state whose class says `has_appendix` stand the context of its maker
// and the link to a token, if there are any.
template <class S>
captured_context* context_of(S* s) noexcept {
  static_assert(sizeof(S) % alignof(captured_context) == 0);
  return reinterpret_cast<captured_context*>(reinterpret_cast<std::byte*>(s) + sizeof(S));
}
template <class S>
stop_link* link_of(S* s) noexcept {
  static_assert(alignof(stop_link) <= alignof(captured_context));
  return reinterpret_cast<stop_link*>(context_of(s) + (s->has_context() ? 1 : 0));
}
template <class S>
constexpr std::size_t state_size(bool with_context, bool with_link) noexcept {
  return sizeof(S) + (with_context ? sizeof(captured_context) : 0) +
         (with_link ? sizeof(stop_link) : 0);
}

// With a link to the token, if one is given. Throws std::bad_alloc, what the constructor throws.
template <class S, class... Args>
S* make_linked_state(prim::stop_token* user_stop, Args&&... args) {
  const bool with_link = user_stop != nullptr;
  bool with_context = false;
  if constexpr (requires { typename S::has_appendix; }) {
    with_context = current_context() != nullptr;
  }
  const std::size_t bytes = state_size<S>(with_context, with_link);
  void* const memory = prim::allocate_cell(bytes, alignof(S));
  S* made = nullptr;
  try {
    made = ::new (memory) S(std::forward<Args>(args)...);
  } catch (...) {
    prim::deallocate_cell(memory, bytes, alignof(S));
    throw;
  }
  if (with_context || with_link) [[unlikely]] {
    made->note_appendix(with_context, with_link);
    if (with_context) ::new (static_cast<void*>(context_of(made))) captured_context;
    if (with_link) ::new (static_cast<void*>(link_of(made))) stop_link(std::move(*user_stop));
  }
  return made;
}
template <class S, class... Args>
S* make_state(Args&&... args) {
  return make_linked_state<S>(nullptr, std::forward<Args>(args)...);
}

// What stands behind it has been destroyed with the work.
template <class S>
void destroy_state(S* s) noexcept {
  const std::size_t bytes = state_size<S>(s->has_context(), s->has_link());
  s->~S();
  prim::deallocate_cell(s, bytes, alignof(S));
}

// Runs (or discards) the job on this thread: at once, or, when a job that was run (or discarded) so
// is on the stack already, as soon as that one returns, so that chains of any length need no stack.
HEDDLE_API void run_on_trampoline(job* j) noexcept;
HEDDLE_API void discard_on_trampoline(job* j) noexcept;
HEDDLE_API executor_ref trampoline() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail
