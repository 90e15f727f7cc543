// Functions that may run at the same time.
#pragma once

#include <exception>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heddle/algorithm/first_failure.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// One of two functions. When one fails there is nothing left to be dropped that others might begin,
// so nobody but the parent needs to know.
template <class F>
class forked final : public fork_job {
 public:
  explicit forked(F& f) noexcept
      : fork_job(&taken<&forked::run>, fork_lane::context_of_this_thread()), f_(f) {}
  ~forked() {}

  using fork_job::has_run;
  // After wait_for: how the child ended.
  std::exception_ptr take_failure() noexcept {
    std::exception_ptr failure = std::move(failure_);
    std::destroy_at(&failure_);
    return failure;
  }

 private:
  static void run(fork_job* j) noexcept {
    forked& self = *static_cast<forked*>(j);
    std::exception_ptr failure;
    try {
      detail::invoke(self.f_);
    } catch (...) {
      failure = std::current_exception();
    }
    std::construct_at(&self.failure_, std::move(failure));
  }

  F& f_;
  // Nobody makes it for a child that is not taken.
  union {
    std::exception_ptr failure_;
  };
};

// In the handler of what the other function has thrown: a child that has not begun is given up. One
// that has failed by now was the first.
template <class F>
[[gnu::cold, gnu::noinline]] void give_up(fork_lane& lane, forked<F>& child) {
  if (lane.take_back()) return;
  const bool was_first = child.has_run();
  lane.wait_for(child);
  std::exception_ptr failure = child.take_failure();
  if (failure == nullptr) return;
  if (!was_first) return report_unhandled(std::move(failure));
  report_unhandled(std::current_exception());
  std::rethrow_exception(std::move(failure));
}

template <class F>
[[gnu::noinline]] void join_stolen(fork_lane& lane, forked<F>& child) {
  lane.wait_for(child);
  if (std::exception_ptr failure = child.take_failure()) std::rethrow_exception(std::move(failure));
}

// One of three functions or more, whoever runs it. It is dropped when another one has failed before
// it begins.
template <class F>
void run_member(F& f, first_failure& of_all) noexcept {
  if (of_all.failed()) [[unlikely]]
    return;
  try {
    detail::invoke(f);
  } catch (...) {
    of_all.fail();
  }
}

template <class F>
class forked_member final : public fork_job {
 public:
  forked_member(F& f, first_failure& of_all) noexcept
      : fork_job(&taken<&forked_member::run>, fork_lane::context_of_this_thread()),
        f_(f),
        of_all_(of_all) {}

 private:
  static void run(fork_job* j) noexcept {
    forked_member& self = *static_cast<forked_member*>(j);
    run_member(self.f_, self.of_all_);
  }

  F& f_;
  first_failure& of_all_;
};

template <class F>
void run_members(fork_lane&, first_failure& of_all, F& f) noexcept {
  run_member(f, of_all);
}

template <class F, class... Rest>
[[gnu::always_inline]] inline void run_members(fork_lane& lane, first_failure& of_all, F& f,
                                               Rest&... rest) noexcept {
  forked_member<F> child(f, of_all);
  if (!lane.push(child)) [[unlikely]] {
    run_member(f, of_all);
    return run_members(lane, of_all, rest...);
  }
  run_members(lane, of_all, rest...);
  if (lane.take_back()) [[likely]] {
    run_member(f, of_all);
  } else {
    lane.wait_for(child);
  }
}

template <class F>
void invoke_forked(fork_lane&, F& f) {
  detail::invoke(f);
}

template <class F, class G>
void invoke_forked(fork_lane& lane, F& f, G& g) {
  forked<F> child(f);
  if (!lane.push(child)) [[unlikely]] {
    detail::invoke(f);
    detail::invoke(g);
    return;
  }
  try {
    detail::invoke(g);
  } catch (...) {
    give_up(lane, child);
    throw;
  }
  if (lane.take_back()) [[likely]] {
    detail::invoke(f);
  } else {
    join_stolen(lane, child);
  }
}

template <class F, class G, class H, class... Rest>
void invoke_forked(fork_lane& lane, F& f, G& g, H& h, Rest&... rest) {
  first_failure of_all;
  run_members(lane, of_all, f, g, h, rest...);
  of_all.rethrow_failure();
}

// Where there is no lane yet; `pool` is none, or the pool that it has to be one of.
template <class... F, class... Pool>
[[gnu::noinline]] void invoke_elsewhere(std::tuple<F&...> all, Pool&... pool) {
  call_with_lane(
      pool...,
      [](void* context, fork_lane* lane) {
        std::apply(
            [lane](F&... each) {
              if (lane != nullptr) {
                invoke_forked(*lane, each...);
              } else {
                (static_cast<void>(detail::invoke(each)), ...);
              }
            },
            *static_cast<std::tuple<F&...>*>(context));
      },
      &all);
}

}  // namespace detail

// Calls all of the functions, some of them on other workers of the pool if those have nothing else
// to do, and returns when all have ended. May be nested, and called from any thread: on a worker it
// runs on that worker's pool, elsewhere on the default pool.
//
// Effects: the last function is called on the calling worker, then those before it that nobody has
// taken, from right to left. Each runs with the caller's context.
// Memory ordering: what happened before the call happened before each function; what the functions
// do happens before the return.
// Requires: no function waits for its own pool to be idle, shuts it down or destroys it: it is part
// of the task that called, which has not ended.
// Blocks? On a worker, until functions that others have taken have ended; meanwhile it runs what
// these have forked, and else nothing. Recursion may go as deep as memory for stacks allows: where
// the stack ends it goes on on that of another worker.
// Allocates? No, but for the first use of a thread, and a worker's table of children that grows.
// Throws the first exception of a function, on whichever worker, when all that have begun have
// ended. A function that has not begun by then is not called, by the caller nor by who takes it.
// Further exceptions go to the unhandled handler. Throws would_starve where the stack ends and no
// other is to be had, or `cancelled`, in a pool that gives up what has not begun.
// Complexity: a few nanoseconds a function that nobody takes, without a fence or a
// read-modify-write. (The outermost call of a task has two of those, and a wake-up where a worker
// sleeps.)
// After fork: in the child on the default pool of the child. A function that forks must not return
// in the child.
// Source: work stealing after Blumofe and Leiserson, "Scheduling multithreaded computations by work
// stealing", 1999; waiting after Wagner and Calder, "Leapfrogging", PPoPP 1993.
template <class... F>
  requires(sizeof...(F) > 0 && (std::is_invocable_v<F&> && ...))
void parallel_invoke(F&&... f) {
  detail::fork_lane* const lane = detail::fork_lane::of_this_thread();
  if (lane == nullptr || !lane->has_stack()) [[unlikely]]
    return detail::invoke_elsewhere(std::tuple<F&...>(f...));
  detail::invoke_forked(*lane, f...);
}

// The same on that pool. On a thread that is no worker of it, it is a task of the pool, for which
// the caller waits; a worker of another pool waits as for any task, so a spare stands in for it.
// Throws as thread_pool::submit, would_starve and `cancelled` as well; then no function is called.
template <class... F>
  requires(sizeof...(F) > 0 && (std::is_invocable_v<F&> && ...))
void parallel_invoke(thread_pool& pool, F&&... f) {
  detail::fork_lane* const lane = detail::fork_lane::of_this_thread(pool);
  if (lane == nullptr || !lane->has_stack()) [[unlikely]]
    return detail::invoke_elsewhere(std::tuple<F&...>(f...), pool);
  detail::invoke_forked(*lane, f...);
}

}  // namespace heddle::inline HEDDLE_ABI
