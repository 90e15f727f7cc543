// Tasks that belong together: they are waited for, and fail, as one.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/exec/task_options.hpp>
#include <heddle/future/room.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

class task_group;
class thread_pool;

namespace detail {

class pool_core;
class group_task;
struct group_sleeper;

// f(), or f(stop_token), which is preferred.
template <class F>
concept takes_group_stop = std::invocable<std::decay_t<F>, prim::stop_token>;
template <class F>
concept group_callable = std::invocable<std::decay_t<F>> || takes_group_stop<F>;

}  // namespace detail

// A set of tasks of a pool that can be waited for, and cancelled, together:
//
//   heddle::task_group group;
//   for (auto& part : parts) group.run([&part] { part.compute(); });
//   group.wait();
//
// The first exception of a task cancels the others, and comes out of wait(). Afterwards the group
// is as new. Groups may be nested: a task may have a group of its own.
//
// Thread-safety: run, wait, cancel and what asks from any thread, tasks of the group included;
// but a task of the group does not wait for it.
// Memory ordering: what happened before run() happened before the task; what the tasks do happened
// before wait() returns.
// Destruction: cancels and waits, if somebody has not waited; an exception that nobody was given
// goes to the unhandled handler. Legal as soon as wait() has returned, if no other call is under
// way. Requires: not by a task of the group; the pool is still there if a task is left.
// After fork: tasks stay with the parent. In the child a group of the parent's can only be
// destroyed; run and wait throw `forked`.
// Protocol: docs/protocols/fork_join.md.
class HEDDLE_API task_group {
 public:
  // On the calling worker's own pool, elsewhere on the default pool. Throws as default_pool().
  task_group();
  // Throws rejected in a child process that cannot have the pool's threads.
  explicit task_group(thread_pool& pool);
  ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  // Adds a task that calls f(), or f(stop_token) if f takes one, on a worker; with a priority it
  // goes before or behind others, see thread_pool::submit. named(...) gives it a name.
  // A task that takes a stop_token hears of cancel(), of another task's failure, and of the pool's
  // shutdown. In a cancelled group tasks are accepted and dropped.
  // Blocks? As thread_pool::submit. Allocates one cell. Throws as thread_pool::submit, and forked;
  // then nothing was added.
  template <detail::group_callable F>
  void run(F&& f) {
    add(std::nullopt, std::forward<F>(f));
  }
  template <std::same_as<priority> P, detail::group_callable F>
  void run(P level, F&& f) {
    add(level, std::forward<F>(f));
  }

  // Waits until no task of the group is left, and makes it as new. True: all of them have run;
  // false: it was cancelled, so some may not have.
  //
  // On a worker of the group's pool it runs tasks of the group that have not begun, the newest
  // first, and nothing else; when there are none, and elsewhere, it sleeps, and on a worker a spare
  // stands in. Where the worker's stack ends the others go on with theirs.
  // Throws what the first task to fail threw; what others throw goes to the unhandled handler. Of
  // several waits that end together one gets the exception. Throws `cancelled` when the pool gave
  // tasks up, in shutdown(cancel) or to make room for others. Throws would_starve, forked, and
  // std::logic_error when the caller is a task of the group: then nothing has changed.
  bool wait();

  // Gives up the tasks that have not begun, and trips the token of those that have. Until the next
  // wait() has returned nothing begins. Never blocks.
  void cancel() noexcept;

  // That is so: by cancel(), by a failure, or because the pool gave up a task.
  bool is_cancelled() const noexcept { return cancelled_.load(prim::acquire); }

  // Is tripped when the group is cancelled before the next wait() has returned. For callables that
  // are better off asking than taking one. Throws std::bad_alloc.
  prim::stop_token get_token();

 private:
  friend class detail::group_task;

  template <class F>
  void add(std::optional<priority> level, F&& f);
  void offer(detail::group_task& task, std::optional<priority> level);
  bool link(detail::group_task& task) noexcept;
  void unlink(detail::group_task& task) noexcept HEDDLE_REQUIRES(lock_);
  detail::group_task* claim_newest() noexcept HEDDLE_REQUIRES(lock_);
  detail::group_sleeper* take_hungry() noexcept HEDDLE_REQUIRES(lock_);
  void end(detail::group_task& task) noexcept;
  void fail(std::exception_ptr failure) noexcept;
  void lose_task() noexcept;
  bool has_changed(std::uint32_t added) const noexcept;
  void await_end();
  void sleep(bool helps, bool hungry, std::uint32_t added);
  bool withdraw(detail::group_sleeper& sleeper) noexcept;
  void require_other_task() const;
  bool is_of_this_process() const noexcept;
  void require_own_process() const;
  bool has_tasks() const noexcept;
  prim::stop_token stop_of_pool() const noexcept;

  detail::pool_core& core_;
  const unsigned generation_;  // of the process: see prim/fork.hpp
  prim::atomic<bool> cancelled_{false};

  mutable prim::short_lock lock_;
  // Tasks that were added and have not ended, and tasks that were ever added: written under the
  // lock, and looked at without it by a waiter that is not yet asleep.
  prim::atomic<std::size_t> left_{0};
  prim::atomic<std::uint32_t> added_{0};
  // Those that may have not begun, the newest first.
  detail::group_task* newest_ HEDDLE_GUARDED_BY(lock_) = nullptr;
  detail::group_sleeper* sleepers_ HEDDLE_GUARDED_BY(lock_) = nullptr;
  std::exception_ptr failure_ HEDDLE_GUARDED_BY(lock_);
  bool lost_ HEDDLE_GUARDED_BY(lock_) = false;                         // the pool gave up a task
  prim::stop_source stop_ HEDDLE_GUARDED_BY(lock_){std::nostopstate};  // made when it is needed
};

namespace detail {

// A task in a cell of its own, which has two holders at most: the entry in the pool's queue, and a
// waiter (or whoever cancels) that has claimed it ahead of its turn. Who claims it runs it, or
// drops it; the cell goes with the last holder.
class HEDDLE_API group_task : public job {
 protected:
  // What a task tells itself. Its job's function is its only virtual function, and understands
  // these besides what a queue says.
  struct own_verb {
    static constexpr verb call{3};
    static constexpr verb drop{4};  // the callable goes
    static constexpr verb destroy{5};
  };

  group_task(job::function does, task_group& group) noexcept : job(does), group_(group) {}
  ~group_task() = default;

  void be_given(verb v) noexcept;
  void fail() noexcept;  // with the exception that is being handled
  prim::stop_token stop_of_pool() const noexcept { return group_.stop_of_pool(); }

  struct cancel_group {
    task_group& group;
    void operator()() const noexcept { group.cancel(); }
  };

 private:
  friend class heddle::task_group;
  template <class F>
  friend class group_callable_task;
  static constexpr unsigned claimed = 1;
  static constexpr unsigned entry_gone = 2;
  static constexpr unsigned over = 4;

  bool try_claim_ahead() noexcept;
  void carry_out(bool wanted) noexcept;
  void finish_ahead(bool wanted) noexcept;

  task_group& group_;  // there until the task has ended
  captured_context context_;

  // Under the group's lock.
  group_task* newer_ = nullptr;
  group_task* older_ = nullptr;
  bool listed_ = false;

  prim::atomic<std::uint8_t> marks_{0};
};

template <class F>
class group_callable_task final : public group_task {
 public:
  template <class G>
  static group_task* make(task_group& group, G&& f) {
    void* const memory =
        prim::allocate_cell(sizeof(group_callable_task), alignof(group_callable_task));
    try {
      return ::new (memory) group_callable_task(group, std::forward<G>(f));
    } catch (...) {
      prim::deallocate_cell(memory, sizeof(group_callable_task), alignof(group_callable_task));
      throw;
    }
  }

 private:
  template <class G>
  group_callable_task(task_group& group, G&& f) : group_task(&act, group) {
    callable_.write([&](auto& r) { r.template construct<F>(std::forward<G>(f)); });
  }
  ~group_callable_task() = default;

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<group_callable_task*>(j);
    if (v == own_verb::call) {
      self->call();
    } else if (v == own_verb::drop) {
      self->callable_.write([](auto& r) { std::destroy_at(r.template as<F>()); });
      self->context_.reset();
    } else if (v == own_verb::destroy) {
      self->~group_callable_task();
      prim::deallocate_cell(self, sizeof(group_callable_task), alignof(group_callable_task));
    } else {
      self->be_given(v);
    }
  }

  void call() noexcept {
    const task_scope around(
        context_.get(),
        callable_.read([](const auto& r) { return task_name_of(*r.template as<F>()); }), &group_);
    try {
      if constexpr (takes_group_stop<F>) {
        const prim::stop_callback<cancel_group> link(stop_of_pool(), cancel_group{group_});
        callable_.write([this](auto& r) {
          static_cast<void>(detail::invoke(std::move(*r.template as<F>()), group_.get_token()));
        });
      } else {
        callable_.write(
            [](auto& r) { static_cast<void>(detail::invoke(std::move(*r.template as<F>()))); });
      }
    } catch (...) {
      fail();
    }
  }

  prim::cell<room_for<F>> callable_;
};

}  // namespace detail

template <class F>
void task_group::add(std::optional<priority> level, F&& f) {
  detail::require_callable(f, "task_group::run");
  offer(*detail::group_callable_task<std::decay_t<F>>::make(*this, std::forward<F>(f)), level);
}

}  // namespace heddle::inline HEDDLE_ABI
