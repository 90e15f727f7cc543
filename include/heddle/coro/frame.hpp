// What the frames of all tasks have in common, whatever they return. Users need task.hpp.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/inlined_cells.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Without optimization, and under its AddressSanitizer, g++ makes a real call of a transfer from
// one coroutine to another, and long chains of awaits overflow the stack. There a coroutine that
// stops leaves the handle of the next to whoever resumed it. Code of both kinds may be mixed.
#if defined(__GNUC__) && !defined(__clang__) && (!defined(__OPTIMIZE__) || HEDDLE_ASAN)
using transfer = void;
#else
using transfer = std::coroutine_handle<>;
#endif

class task_frame;

// What a thread knows while it runs tasks, one after another, in the course of one job of their
// executor: task_frame::run_here() has it on its stack.
struct task_run {
  // Requires: a task of this library's runs. Looked for anew by whoever needs it: after each
  // suspension a task may be in another run.
  static task_run& of_this_thread() noexcept {
    return *static_cast<task_run*>(
        prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::coroutine)]);
  }

  // For tasks that fork; false where there is nobody to take what they fork.
  HEDDLE_API bool find_lane(executor_ref home) noexcept;
  // Who goes on when the one that runs has stopped. Null: nobody is left.
  std::coroutine_handle<> take_next() noexcept;

  std::coroutine_handle<> next;  // who is first to
  task_frame* ended = nullptr;   // then this, whose last child has ended behind its own end
  fork_lane* lane = nullptr;
  std::int64_t floor = 0;  // below that the lane holds what others left there
  bool opened_lane = false;
};

// What an await_suspend returns to let `next` go on.
template <class Transfer>
Transfer transfer_to(std::coroutine_handle<> next) noexcept {
  if constexpr (std::is_void_v<Transfer>) {
    task_run::of_this_thread().next = next;
  } else {
    return next;
  }
}
// The same, or nobody if it is null.
template <class Transfer>
Transfer transfer_if_any(std::coroutine_handle<> next) noexcept {
  if constexpr (std::is_void_v<Transfer>) {
    return transfer_to<Transfer>(next);
  } else {
    return next ? next : std::noop_coroutine();
  }
}

// Who may stop a task: who has a token's source; or, of one that was forked, a failure beside it
// and who may stop its parent; or nobody.
class stopped_by {
 public:
  constexpr stopped_by() noexcept = default;
  // Null: nobody.
  stopped_by(const prim::stop_token* token) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(token)) {}
  explicit stopped_by(task_frame& parent) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(&parent) | forked) {}

  // That of a parent that forks is made when somebody first asks for it. Throws std::bad_alloc.
  const prim::stop_token* token() const {
    return parent() == nullptr ? reinterpret_cast<const prim::stop_token*>(bits_) : parents_token();
  }
  bool requested() const noexcept {
    if (bits_ == 0) return false;
    if (parent() != nullptr) return parent_is_stopped();
    return reinterpret_cast<const prim::stop_token*>(bits_)->stop_requested();
  }
  task_frame* parent() const noexcept {
    return (bits_ & forked) != 0 ? reinterpret_cast<task_frame*>(bits_ & ~forked) : nullptr;
  }

 private:
  static constexpr std::uintptr_t forked = 1;

  HEDDLE_API const prim::stop_token* parents_token() const;
  HEDDLE_API bool parent_is_stopped() const noexcept;

  std::uintptr_t bits_ = 0;
};

// Who hears of the end of a task that no other task awaits.
struct task_end {
  // Called when the body has ended; returns who goes on on this thread, or null. May destroy the
  // frame.
  using function = std::coroutine_handle<> (*)(task_end& self, task_frame& ended) noexcept;

  explicit constexpr task_end(function f) noexcept : told(f) {}
  task_end(const task_end&) = delete;
  task_end& operator=(const task_end&) = delete;

  const function told;

 protected:
  ~task_end() = default;
};

// What a task is to others: a job while it is posted, the rest of a parent while it lies in a lane.
// It is never both, and nothing while it runs.
struct frame_place {
  struct posted final : job {
    using job::job;
  };
  struct rest final : fork_entry {
    explicit rest(function taken) noexcept : fork_entry(taken) {}
  };

  frame_place() noexcept {}  // NOLINT(modernize-use-equals-default): is nothing at first
  ~frame_place() {}          // NOLINT(modernize-use-equals-default)
  frame_place(const frame_place&) = delete;
  frame_place& operator=(const frame_place&) = delete;

  static frame_place& of(job* j) noexcept {
    return *reinterpret_cast<frame_place*>(static_cast<posted*>(j));
  }
  static frame_place& of(fork_entry* e) noexcept {
    return *reinterpret_cast<frame_place*>(static_cast<rest*>(e));
  }

  union {
    posted as_posted;
    rest as_rest;
  };
};

// Where a task runs, who may stop it, who waits for its end, and in which context: all of it is
// borrowed from the task that awaits this one, or from whoever started it, and outlives it. How it
// ended, and the children that it has forked.
//
// Where its executor runs its job, the task goes on. A task is suspended in one place at a time, so
// one job is enough.
//
// `taken_` counts the children that the parent did not wait for: it is changed by the parent, or by
// who takes it from the lane, and then is the one to let it go on. `left_` counts the same children
// as they end, down from zero, until the parent waits and adds `taken_`.
//
// What is not needed by tasks that neither wait nor fork is not written for them.
// Protocol: docs/protocols/coroutines.md.
class HEDDLE_API task_frame : private frame_place {
 public:
  // From whom a task has what it needs to run.
  struct surroundings {
    executor_ref executor;
    stopped_by stop;
    task_end& end;
  };

  // How a child is bound to its parent.
  enum class bond : std::uintptr_t {
    none,     // it has none, but a task_end
    awaited,  // the parent waits for it, and destroys the frame
    forked,   // the parent's rest is left to others
    called,   // the same, but the parent waits for it
  };
  // Who has left a forked child: itself at its end, or its handle.
  enum class leaving : std::uint8_t { nobody, with_value, without_value };
  // Of the last two: whether the frame goes with the end, or stays for who has its handle.
  enum class after_end : std::uintptr_t { kept = 0, dropped = 4 };

  static constexpr std::size_t frame_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
  // Frames begin with two pointers. A promise aligned to more than that lies farther behind, where
  // handle() does not look for it.
  static constexpr std::size_t promise_alignment = 2 * sizeof(void*);

  // Frames come from the cells of their threads, and find their way back there.
  static void* operator new(std::size_t bytes) {
    return prim::allocate_cell_inline(bytes, frame_alignment);
  }
  static void operator delete(void* memory, std::size_t bytes) noexcept {
    prim::deallocate_cell_inline(memory, bytes, frame_alignment);
  }

  // A task begins when somebody awaits or starts it.
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return at_end(); }
  void unhandled_exception() noexcept;

  // By whoever starts it, once; the thread's context becomes its own.
  void surround(const surroundings& s) noexcept {
    std::construct_at(&executor_, s.executor);
    std::construct_at(&stop_, s.stop);
    bond_ = reinterpret_cast<std::uintptr_t>(&s.end);
    begin_in(current_context());
  }
  // The same for a child of this task, which is about to be suspended; returns the child's handle.
  std::coroutine_handle<> begin_child(task_frame& child, stopped_by stop) noexcept {
    return begin_child(child, stop, static_cast<std::uintptr_t>(bond::awaited));
  }

  // Forking. Once before the first of the following, and again behind a join.
  void begin_to_fork() noexcept {
    note(forks_now);
    taken_ = 0;
    std::construct_at(&left_, 0);
    std::construct_at(&trouble_, std::uintptr_t{0});
  }
  bool forks() const noexcept { return has(forks_now); }
  // Begins a child of this task, which is being suspended; returns who goes on. The parent may go
  // on elsewhere before this returns.
  //
  // Here as in end_usually() what is rare is a call at the very end: so what is not needs no stack.
  std::coroutine_handle<> fork(task_frame& child, after_end then) noexcept {
    fork_lane* const lane = task_run::of_this_thread().lane;
    if (is_in_a_context() || lane == nullptr || !lane->has_room()) [[unlikely]]
      return fork_slowly(child, then);
    bind(child, stopped_by(*this), bits(bond::forked, then));
    std::construct_at(&as_rest, &was_taken);
    if (lane->push_rest_into_room(as_rest)) [[unlikely]]
      return begin_and_tell(*lane, child);
    return child.handle();
  }
  // The same, but the parent waits for it.
  std::coroutine_handle<> call(task_frame& child, after_end then) noexcept {
    return begin_child(child, stopped_by(*this), bits(bond::called, then));
  }
  bool has_failed_child() const noexcept {
    return (trouble_.load(prim::relaxed) & failed_child) != 0;
  }
  void fail_child(std::exception_ptr failure) noexcept;
  // The join of children who have all given their parent back, and left nothing to be told of, and
  // of none. False: there is more to be done.
  bool join_at_once() noexcept {
    const notes now = noted_ & (forks_now | refused);
    if (now == 0) return true;
    if (now != forks_now || has_forked()) [[unlikely]]
      return false;
    end_forking();
    return true;
  }
  // The other joins, also of a task without children that has been refused.
  bool nobody_was_taken() const noexcept { return taken_ == 0; }
  bool suspend_for_join() noexcept;
  void settle();
  // The end of a run: a parent whose child has been suspended. Null: none is left.
  static std::coroutine_handle<> take_left(const task_run& run) noexcept;

  // A forked child is left by itself, at its end, and by its handle. False: the other has left it
  // before, and the caller destroys the frame.
  bool leave(leaving how) noexcept {
    return left_by_.exchange(how, prim::acq_rel) == leaving::nobody;
  }
  // For who has the handle: whether the child has ended, and has a value.
  bool is_left() const noexcept { return left_by_.load(prim::acquire) != leaving::nobody; }
  bool is_left_with_value() const noexcept {
    return left_by_.load(prim::acquire) == leaving::with_value;
  }

  // Runs the task on this thread, from where it is suspended, until it is suspended again.
  void run_here() noexcept;
  // The same on its executor. The last that the caller does with the task.
  void go_on() noexcept { executor_.post(std::construct_at(&as_posted, &act)); }
  // The same on this thread, as what a coroutine that stops here returns; or on its executor, if
  // `from` has run on another one. The last as well.
  std::coroutine_handle<> go_on_from(executor_ref from) noexcept {
    return from == executor_ ? go_on_in_run() : go_on_elsewhere();
  }
  // The same, by who knows that it is on its executor.
  std::coroutine_handle<> go_on_in_run() noexcept {
    context_of_this_thread() = context_;
    return handle();
  }
  // From now on it belongs to another executor.
  void move_to(executor_ref where) noexcept {
    executor_ = where;
    note(moved);
  }
  // By a task that has moved away from `before`: it keeps the executor that it is on now, for which
  // there is a reference, and no longer the other one, unless that was kept for it from above.
  void keep_executor(executor_ref before) noexcept;
  // By one that is about to move: its children may still be where it is. Throws std::bad_alloc.
  void keep_executor_for_children();
  // By a run: the body has ended before, and the last child behind it.
  std::coroutine_handle<> end_in_run() noexcept {
    context_of_this_thread() = context_;
    return end();
  }

  // Before it is suspended: what it did to the thread's context goes with it.
  void note_context() noexcept {
    if (const auto now = static_cast<context_ref>(context_of_this_thread()); now != context_)
        [[unlikely]]
      set_context(now);
  }

  // The same whatever the task returns: a promise lies where the alignment of a pointer pair puts
  // it.
  std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<task_frame>::from_promise(*this);
  }
  executor_ref executor() const noexcept { return executor_; }
  stopped_by who_stops() const noexcept { return stop_; }
  // Null when nobody can stop it. Throws std::bad_alloc.
  const prim::stop_token* stop() const { return stop_.token(); }
  bool stop_requested() const noexcept { return stop_.requested(); }
  // Of one that was begun as a child.
  task_frame& parent() const noexcept { return *reinterpret_cast<task_frame*>(bond_ & ~marks); }

  // Whether it has ended with an exception, and which.
  bool failed() const noexcept { return has(ended_by_exception); }
  // The same, or its parent may have been refused: it was posted, for this has ended elsewhere than
  // it began, or was refused before.
  bool failed_or_moved() const noexcept { return has(ended_by_exception | moved); }
  std::exception_ptr take_error() noexcept { return std::exchange(error_or_value.error, nullptr); }
  [[noreturn]] void throw_error() { std::rethrow_exception(take_error()); }
  // Also where it has ended otherwise.
  void fail(std::exception_ptr failure) noexcept {
    std::construct_at(&error_or_value.error, std::move(failure));
    note(ended_by_exception);
  }

  // Whether its executor has refused to run it, so that it goes on on the thread that was told so;
  // asked once.
  bool take_refusal() noexcept {
    if (!has(refused)) [[likely]]
      return false;
    forget(refused);
    return true;
  }

  // Throws cancelled.
  [[noreturn]] static void throw_refused();

 protected:
  // Of what a task returns there is room for a word here. An error takes the place of a value.
  static constexpr std::size_t word_bytes = sizeof(void*);
  union outcome {
    outcome() noexcept {}  // NOLINT(modernize-use-equals-default): holds nothing at first
    ~outcome() {}          // NOLINT(modernize-use-equals-default)
    std::byte value[word_bytes];
    void* place;
    std::exception_ptr error;
  };

  task_frame() noexcept {}  // NOLINT(modernize-use-equals-default): of unions
  ~task_frame() {
    if (has(holds_context | ended_by_exception | forks_now | own_executor)) [[unlikely]]
      let_go();
  }

  // What there is to be known of a task beside the usual: one word, so that one look is enough
  // where nothing is. Only who has the task looks, or writes.
  using notes = std::uint16_t;
  static constexpr notes forks_now = 1;  // since the last join
  static constexpr notes ended_by_exception = 2;
  static constexpr notes moved = 4;          // to another executor, or the parent was refused
  static constexpr notes holds_context = 8;  // or has held one
  static constexpr notes changed_context = 16;
  static constexpr notes refused = 32;
  static constexpr notes own_executor = 64;      // a reference to it, since it has moved there
  static constexpr notes value_has_place = 128;  // which `error_or_value` tells
  static constexpr notes waits_at_end = 256;

  bool has(notes any) const noexcept { return (noted_ & any) != 0; }
  void note(notes more) noexcept { noted_ = static_cast<notes>(noted_ | more); }
  void forget(notes some) noexcept { noted_ = static_cast<notes>(noted_ & ~some); }

 private:
  friend stopped_by;

  static constexpr std::uintptr_t marks = 7;  // in `bond_`
  static constexpr std::uintptr_t bits(bond b, after_end then) noexcept {
    return static_cast<std::uintptr_t>(b) | static_cast<std::uintptr_t>(then);
  }

  // The word of trouble: whether a child has failed, or the parent, and where more is told.
  struct trouble;
  static constexpr std::uintptr_t failed_child = 1;
  static constexpr std::uintptr_t given_up = 2;

  struct at_end {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_frame> P>
    transfer await_suspend(std::coroutine_handle<P> h) const noexcept {
      task_frame& self = h.promise();
      return self.end_usually<transfer>();
    }
    void await_resume() const noexcept {}
  };

  std::coroutine_handle<> begin_child(task_frame& child, stopped_by stop,
                                      std::uintptr_t marked) noexcept {
    if (is_in_a_context() || has(refused)) [[unlikely]]
      return begin_child_unusually(child, stop, marked);
    bind(child, stop, marked);
    return child.handle();
  }
  std::coroutine_handle<> begin_child_unusually(task_frame& child, stopped_by stop,
                                                std::uintptr_t marked) noexcept;
  // Whether it has begun in a context, or the thread is in one now.
  bool is_in_a_context() const noexcept {
    return (reinterpret_cast<std::uintptr_t>(context_of_this_thread()) |
            reinterpret_cast<std::uintptr_t>(context_)) != 0;
  }
  // A child that has no context.
  void bind(task_frame& child, stopped_by stop, std::uintptr_t marked) noexcept {
    std::construct_at(&child.executor_, executor_);
    std::construct_at(&child.stop_, stop);
    child.bond_ = reinterpret_cast<std::uintptr_t>(this) | marked;
    child.context_ = nullptr;
  }
  std::coroutine_handle<> fork_slowly(task_frame& child, after_end then) noexcept;
  static std::coroutine_handle<> begin_and_tell(fork_lane& lane, task_frame& child) noexcept;
  std::coroutine_handle<> go_on_elsewhere() noexcept;
  // It was to be forked, but nobody could take the parent.
  void parent_waits() noexcept { bond_ |= static_cast<std::uintptr_t>(bond::called); }

  // Whether there is something to be settled by a join, or at the end, of who forks.
  bool has_forked() const noexcept { return taken_ != 0 || trouble_.load(prim::relaxed) != 0; }
  void end_forking() noexcept {
    forget(forks_now);
    std::destroy_at(&left_);
    std::destroy_at(&trouble_);
  }

  // Whoever waits for its end is told. Here are the two ways that are usual, in few instructions;
  // end() knows all.
  template <class Transfer>
  Transfer end_usually() noexcept {
    if (!has(forks_now | ended_by_exception | moved)) [[likely]] {
      const std::uintptr_t how = bond_ & marks;
      if (how == bits(bond::awaited, after_end::kept))
        return transfer_to<Transfer>(parent().go_on_in_run());
      if (how == bits(bond::forked, after_end::kept)) {
        task_frame& its_parent = parent();
        const task_run& run = task_run::of_this_thread();
        fork_lane* const lane = run.lane;
        if (lane == nullptr || lane->height() == run.floor) [[unlikely]]
          return end_unusually<Transfer, &task_frame::end_behind_theft>();
        if (!lane->begin_to_take_back()) [[unlikely]]
          return end_unusually<Transfer, &task_frame::end_among_thieves>();
        left_by_.store(leaving::with_value, prim::relaxed);  // the handle is still to come
        return transfer_to<Transfer>(its_parent.go_on_in_run());
      }
    }
    return end_unusually<Transfer, &task_frame::end>();
  }
  template <class Transfer, std::coroutine_handle<> (task_frame::*Way)() noexcept>
  [[gnu::noinline]] Transfer end_unusually() noexcept {
    return transfer_if_any<Transfer>((this->*Way)());
  }
  std::coroutine_handle<> end() noexcept;
  std::coroutine_handle<> tell() noexcept;
  std::coroutine_handle<> end_forked() noexcept;
  // Nobody has taken the parent, and it is back.
  std::coroutine_handle<> end_with_parent() noexcept;
  std::coroutine_handle<> end_among_thieves() noexcept;
  std::coroutine_handle<> end_behind_theft() noexcept;
  std::coroutine_handle<> end_called() noexcept;
  bool is_dropped() const noexcept {
    return (bond_ & static_cast<std::uintptr_t>(after_end::dropped)) != 0;
  }
  // The child counts, which the parent did not wait for. The last that the child does with it.
  std::coroutine_handle<> count_down(executor_ref ran_on) noexcept;
  std::coroutine_handle<> end_from(executor_ref from) noexcept;
  bool settle_at_end() noexcept;
  leaving how_it_ended() const noexcept {
    return failed() ? leaving::without_value : leaving::with_value;
  }
  // For a parent that fails between a fork and the join.
  void give_up() noexcept;
  // Behind the end of all children: the first failure, or null.
  std::exception_ptr take_failure() noexcept;
  void tell_of_failure() noexcept;
  static trouble* trouble_of(std::uintptr_t word) noexcept;
  trouble& find_trouble();
  void make_trouble();

  static void act(job* j, verb v) noexcept;
  static void was_taken(fork_entry* e, fork_lane& thief) noexcept;
  static void*& context_of_this_thread() noexcept {
    return prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::context)];
  }
  void begin_in(context_ref first) noexcept {
    context_ = first;
    if (first != nullptr) [[unlikely]]
      hold(first);
  }
  void hold(context_ref c) noexcept {
    c->retain(c);
    note(holds_context);
  }
  void let_go() noexcept;
  void set_context(context_ref other) noexcept;

  // NOLINTBEGIN(readability-identifier-naming): what is in them is private, too
  union {
    executor_ref executor_;
  };
  union {
    stopped_by stop_;
  };
  std::uintptr_t bond_;  // the parent, or a task_end, with the marks of `bond` and `after_end`
  context_ref context_;  // retained
  context_ref first_context_;  // the same, once it is no longer that one
  std::int64_t taken_;         // this and the next two from a fork to the join behind it
  union {
    prim::atomic<std::int64_t> left_;
  };
  union {
    prim::atomic<std::uintptr_t> trouble_;
  };
  // NOLINTEND(readability-identifier-naming)

 protected:
  outcome error_or_value;

 private:
  notes noted_ = 0;
  prim::atomic<leaving> left_by_{leaving::nobody};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
