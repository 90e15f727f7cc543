// The thread pool: work goes in, futures come out.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/exec/batch.hpp>
#include <heddle/exec/bulk_job.hpp>
#include <heddle/exec/job_batch.hpp>
#include <heddle/exec/ordered_map.hpp>
#include <heddle/exec/pool_options.hpp>
#include <heddle/exec/pool_ref.hpp>
#include <heddle/exec/pool_task.hpp>
#include <heddle/exec/task_options.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/prim/clock.hpp>

namespace heddle::inline HEDDLE_ABI {

class thread_pool;

namespace detail {

// Ends the threads of a pool, unless it has none in this process.
void end_of_process(thread_pool& pool);

}  // namespace detail

// Worker threads that run tasks.
//
// Thread-safety: every member from any thread, workers included, but for the destructor, which
// nobody may race with.
// Waiting inside a task never starves the pool: see docs/contracts.md for its promises.
// Coroutines that wait elsewhere may outlive the pool: see coro::spawn.
// Tasks must not throw out of destructors. A callable and its arguments are copied or moved into
// the task and destroyed before its future is ready.
// After fork the child has a pool of the same options with workers of its own, from its first use
// on; what the parent submitted stays with the parent. A task that forks ends the child with exec,
// exit or _exit: one that returns there ends it with a message.
class thread_pool {
 public:
  // As many workers as there are cores for this process, or as told (0 means the former), or as
  // the pool itself finds right: thread_pool pool(sizing::adaptive{.min = 1, .max = 64}).
  // Throws std::invalid_argument for absurd options, std::system_error when a thread cannot be
  // started (those that were are stopped).
  thread_pool() : thread_pool(0U) {}
  explicit thread_pool(unsigned workers) : thread_pool(with_workers(workers)) {}
  explicit thread_pool(const sizing::adaptive& size) : thread_pool(with_sizing(size)) {}
  explicit thread_pool(thread_pool_options options) : pool_(std::move(options)) {}

  // Finishes everything that was accepted, tasks that these tasks submit included, and joins the
  // threads. Blocks without a limit; tells options.on_stuck when that takes long. Called by one of
  // its own tasks it leaves that task out, and the threads go when it is done. No other call may be
  // under way, the submit that brought the destroying task included.
  ~thread_pool() = default;
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  // Runs f(args...), or f(stop_token, args...) if it takes one, on a worker; the future has the
  // result. Cancelling the future gives up a task that has not begun, and trips the token of one
  // that has. Workers may submit until the pool has drained; others until shutdown is called.
  // Blocks? No, unless the queue is bounded and full. Allocates one cell. Throws rejected after
  // shutdown, or when a bounded queue is full and options.overflow says so; std::invalid_argument
  // for a null callable, std::bad_alloc, what copying the arguments throws; then nothing was
  // accepted.
  template <class F, class... Args>
    requires detail::submittable<F, Args...>
  auto submit(F&& f, Args&&... args) {
    return submit(task_options{}, std::forward<F>(f), std::forward<Args>(args)...);
  }

  // The same with a priority, or with whatever else task_options say. Throws std::invalid_argument
  // for a priority above 7. A pool of strict order (scheduling::fifo) does not heed priorities.
  template <std::same_as<priority> P, class F, class... Args>
    requires detail::submittable<F, Args...>
  auto submit(P level, F&& f, Args&&... args) {
    return submit(task_options{.level = level}, std::forward<F>(f), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires detail::submittable<F, Args...>
  auto submit(task_options options, F&& f, Args&&... args) {
    detail::require_callable(f, "thread_pool::submit");
    const std::uint8_t level = detail::job_level(options.level);
    auto made =
        detail::make_task(pool_.executor(), pool_, std::move(options.stop),
                          detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    made.work->level = level;
    accept(made.work, "submit");
    return std::move(made.result);
  }

  // The same on one worker, for the sake of what it has in its caches: `worker` counts from 0 to
  // size() - 1. Only that worker, or a spare in its place, runs the task, so it may have to wait;
  // should the worker be taken away because the pool became smaller, any other may.
  // Throws std::invalid_argument for another number.
  template <class F, class... Args>
    requires detail::submittable<F, Args...>
  auto submit_to(unsigned worker, F&& f, Args&&... args) {
    pool_.check_worker(worker);
    detail::require_callable(f, "thread_pool::submit_to");
    return place(worker, "submit_to", std::forward<F>(f), std::forward<Args>(args)...);
  }

  // The same on the worker that the key belongs to: equal keys, equal worker, while size() stays.
  // No mutual exclusion: while a task waits, a spare may run another of the same key.
  template <class F, class... Args>
    requires detail::submittable<F, Args...>
  auto submit_keyed(std::size_t key, F&& f, Args&&... args) {
    detail::require_callable(f, "thread_pool::submit_keyed");
    return place(static_cast<unsigned>(key % size()), "submit_keyed", std::forward<F>(f),
                 std::forward<Args>(args)...);
  }

  // Runs f(args...) on a worker; nobody waits for it. Its exception goes to the unhandled handler.
  // Otherwise as submit.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  void post(F&& f, Args&&... args) {
    detail::require_callable(f, "thread_pool::post");
    unique_task task(detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    job* const j = task.release();
    accept(j, "post");
  }
  template <std::same_as<priority> P, class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  void post(P level, F&& f, Args&&... args) {
    post(task_options{.level = level}, std::forward<F>(f), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  void post(task_options options, F&& f, Args&&... args) {
    detail::require_callable(f, "thread_pool::post");
    const std::uint8_t level = detail::job_level(options.level);
    job* j = nullptr;
    if (options.stop.stop_possible()) {
      j = detail::make_posted_task(
          pool_, std::move(options.stop),
          detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    } else {
      unique_task task(detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
      j = task.release();
    }
    j->level = level;
    accept(j, "post");
  }

  // Accepts the callables of a range in one step, all or none. Elements of an rvalue range are
  // moved from. Throws as submit.
  template <std::ranges::input_range R>
    requires detail::submittable<std::ranges::range_reference_t<R>>
  auto submit_bulk(R&& callables) {
    using result = detail::task_result_t<std::ranges::range_reference_t<R>>;
    std::vector<future<result>> futures;
    detail::job_batch batch;
    for (auto&& f : callables) {
      detail::require_callable(f, "thread_pool::submit_bulk");
      futures.emplace_back();
      auto made = detail::make_task(pool_.executor(), pool_, forward_element<R>(f));
      futures.back() = std::move(made.result);
      batch.append(made.work);
    }
    accept(batch, "submit_bulk");
    return futures;
  }

  template <std::ranges::input_range R>
    requires std::invocable<std::decay_t<std::ranges::range_reference_t<R>>>
  void post_bulk(R&& callables) {
    detail::job_batch batch;
    for (auto&& f : callables) {
      detail::require_callable(f, "thread_pool::post_bulk");
      unique_task task(forward_element<R>(f));
      batch.append(task.release());
    }
    accept(batch, "post_bulk");
  }

  // f(0), ..., f(count - 1), each a task of its own, in no order that can be relied on; f is shared
  // by all of them, so they call it concurrently. Takes up one cell, and one more each time that an
  // idle worker takes a part of the rest, whatever the count.
  // post_bulk: exceptions go to the unhandled handler. submit_bulk: the future is ready when all
  // are done; it has the first exception (others go to the handler), or is cancelled when the
  // pool's shutdown discarded some of them. Cancelling it gives up what has not begun. A worker
  // that waits for it runs none of it: a spare stands in. Blocks? As submit. Throws as submit, and
  // std::invalid_argument for a negative count.
  template <std::integral N, class F>
    requires std::invocable<std::decay_t<F>&, std::size_t>
  void post_bulk(N count, F&& f) {
    detail::require_callable(f, "thread_pool::post_bulk");
    const std::size_t tasks = detail::checked_count(count);
    if (tasks == 0) return;
    begin_bulk<detail::no_bulk_result>(tasks, std::forward<F>(f), "post_bulk",
                                       [](detail::no_bulk_result&) {});
  }
  template <std::integral N, class F>
    requires std::invocable<std::decay_t<F>&, std::size_t>
  future<void> submit_bulk(N count, F&& f) {
    detail::require_callable(f, "thread_pool::submit_bulk");
    const std::size_t tasks = detail::checked_count(count);
    if (tasks == 0) return make_ready_future();
    future<void> done;
    begin_bulk<detail::bulk_result>(tasks, std::forward<F>(f), "submit_bulk",
                                    [&](detail::bulk_result& r) { done = r.get_future(); });
    return done;
  }

  // Runs the callables of a range and waits for them until the deadline. Then it gives up those
  // that have not begun, asks those that run to stop, and reports what became of each. It does not
  // wait for tasks that still run at the deadline; their futures are in the report. `options` hold
  // for each of the tasks. Blocks; on a worker a spare stands in, or, without a deadline, it may
  // run the tasks itself. Throws as submit, and would_starve; then those that were submitted are
  // cancelled.
  template <std::ranges::input_range R>
    requires detail::submittable<std::ranges::range_reference_t<R>>
  auto run_all(R&& callables, prim::time_point deadline = prim::never, task_options options = {}) {
    using result = detail::task_result_t<std::ranges::range_reference_t<R>>;
    batch_report<result> report;
    const auto begun = prim::clock::now();
    struct cancel_unless_done {
      batch_report<result>* report;
      ~cancel_unless_done() {
        if (report == nullptr) return;
        for (auto& f : report->results) f.cancel();
      }
    } guard{&report};
    for (auto&& f : callables) {
      report.results.emplace_back();
      try {
        report.results.back() = submit(options, forward_element<R>(f));
      } catch (...) {
        report.results.pop_back();
        throw;
      }
    }
    static_cast<void>(heddle::wait(report.results, wait_condition::all_completed, deadline));
    for (auto& f : report.results) {
      if (!f.ready()) f.cancel();
      const detail::future_state* const state = detail::access::state(f, "run_all");
      if (!f.ready()) {
        ++report.running;
      } else if (!state->failed()) {
        ++report.done;
      } else {
        ++(state->how() == detail::outcome::cancelled ? report.cancelled : report.failed);
      }
    }
    guard.report = nullptr;
    report.total_time = prim::clock::now() - begun;
    return report;
  }
  template <std::ranges::input_range R, class Rep, class Period>
    requires detail::submittable<std::ranges::range_reference_t<R>>
  auto run_all(R&& callables, std::chrono::duration<Rep, Period> timeout,
               task_options options = {}) {
    return run_all(std::forward<R>(callables), prim::deadline_after(timeout), std::move(options));
  }

  // f over a range, results in the order of the range:
  //
  //   for (auto& digest : pool.map(hash_file, paths)) ...
  //
  // Lazy: begin() submits the first elements, and each step one more, so that at most `in_flight`
  // are begun and not yet read (0: four for each worker). Elements of an lvalue range are passed by
  // reference, so it must outlive the view; an rvalue range is moved into the view; the elements of
  // a single-pass range are copied. A task's exception comes out of the step that would give its
  // result; stepping on skips it. Destroying the view early cancels what has not begun and waits
  // for what has; exceptions of these go to the unhandled handler.
  template <class F, std::ranges::input_range R>
    requires std::invocable<std::decay_t<F>&, std::ranges::range_reference_t<R>>
  auto map(F&& f, R&& range, std::size_t in_flight = 0) {
    detail::require_callable(f, "thread_pool::map");
    if (in_flight == 0) in_flight = std::size_t{4} * size();
    return ordered_map<thread_pool, std::decay_t<F>, std::views::all_t<R>>(
        *this, std::forward<F>(f), std::views::all(std::forward<R>(range)), in_flight);
  }

  // For future::then and everything else that takes an executor. Jobs that the pool no longer
  // accepts are discarded. Whoever posts here, a promise's set_value with continuations included,
  // is done with the pool when that call has returned.
  executor_ref executor() noexcept { return pool_.executor(); }

  // Waits until every accepted task is done; on a worker, every task but those that themselves wait
  // so. False at the deadline.
  // Requires, as shutdown and the destructor: not called inside a function of parallel_invoke,
  // which may be on another worker than its caller and would wait for that one. Blocks. Throws
  // would_starve.
  bool wait_idle(prim::time_point deadline = prim::never) { return pool_.wait_idle(deadline); }

  // Closes the pool to outside work and brings accepted work to its end: `drain` runs it, what it
  // submits included; `cancel` discards what has not begun (its futures are cancelled) and trips
  // every stop_token. Returns when all is done and the threads have ended, or at the deadline with
  // a report of what still runs; the pool goes on ending then, and shutdown may be called again,
  // also to turn a drain into a cancel. On a worker the calling task is left out and the threads
  // stay until the pool is destroyed. Calling it twice, or from several threads, is as good as
  // once. Blocks. Throws would_starve.
  shutdown_report shutdown(shutdown_mode mode = shutdown_mode::drain,
                           prim::time_point deadline = prim::never) {
    return pool_.shutdown(mode, deadline);
  }
  template <class Rep, class Period>
  shutdown_report shutdown(shutdown_mode mode, std::chrono::duration<Rep, Period> limit) {
    return shutdown(mode, prim::deadline_after(limit));
  }

  // Workers that may run tasks at the same time. Changes when the pool follows the cores, or finds
  // its own size.
  unsigned size() const noexcept { return pool_.size(); }

  // The calling thread's number in this pool, the same for the thread's whole life, below
  // worker_index_limit(); nothing on other threads. A number is reused after its thread has left.
  std::optional<unsigned> worker_index() const noexcept { return pool_.worker_index(); }
  unsigned worker_index_limit() const noexcept { return pool_.index_limit(); }

  const std::string& name() const noexcept { return pool_.name(); }

  // Complexity: linear in the workers. Throws std::bad_alloc.
  pool_statistics statistics() const { return pool_.statistics(); }

  // The same and more, as a page to read or as JSON. Throws std::bad_alloc.
  pool_report report() const { return pool_.report(); }

  // Of an adaptive pool: its last 256 decisions, oldest first, the first size included. Empty else.
  // Throws std::bad_alloc.
  std::vector<sizing::logged_choice> sizing_log() const { return pool_.sizing_log(); }

  // Off: an adaptive pool keeps the size that it has when the call returns; on: it goes on from
  // there. Nothing happens to one of fixed size. Throws as the constructor, in a child's first use.
  void set_sizing(bool on) { pool_.set_sizing(on); }
  bool sizing_is_on() const noexcept { return pool_.sizing_is_on(); }

 private:
  friend void detail::end_of_process(thread_pool& pool);

  template <class Result, class F, class Prepare>
  void begin_bulk(std::size_t count, F&& f, const char* operation, Prepare prepare) {
    using work = detail::bulk_work<std::decay_t<F>, Result>;
    using part = detail::bulk_job<work>;
    work* const made = work::make(pool_.executor(), pool_.stop_token(), count, std::forward<F>(f));
    detail::job_batch batch;
    std::size_t chained = 0;
    try {
      prepare(made->result());
      for (std::size_t begin = 0; begin != count;) {
        // In strict order each has a place of its own in the queue.
        const std::size_t size =
            pool_.in_order() ? 1 : std::min(count - begin, std::size_t{part::longest});
        job* const j = part::make(*made, begin, begin + size);
        if (j == nullptr) throw std::bad_alloc();
        made->retain();
        batch.append(j);
        begin += size;
        chained = begin;
      }
    } catch (...) {
      made->discard(count - chained);
      made->release();
      throw;
    }
    made->release();
    accept(batch, operation);
  }

  static thread_pool_options with_workers(unsigned workers) {
    thread_pool_options options;
    options.workers = workers;
    return options;
  }

  static thread_pool_options with_sizing(const sizing::adaptive& size) {
    thread_pool_options options;
    options.sizing = size;
    return options;
  }

  // Moved from where the range owns its elements and is given away; a view lends those of others.
  template <class R, class T>
  static decltype(auto) forward_element(T& element) {
    if constexpr (std::is_lvalue_reference_v<R> || std::ranges::borrowed_range<R> ||
                  std::ranges::view<std::remove_cvref_t<R>>) {
      return static_cast<T&>(element);
    } else {
      return std::move(element);
    }
  }

  template <class F, class... Args>
  auto place(unsigned worker, const char* operation, F&& f, Args&&... args) {
    auto made =
        detail::make_task(pool_.executor_of_placed(), pool_,
                          detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    check_accepted(pool_.submit_to(worker, made.work), operation);
    return std::move(made.result);
  }

  void accept(job* j, const char* operation) { check_accepted(pool_.submit(j, j, 1), operation); }
  void accept(detail::job_batch& jobs, const char* operation) {
    if (jobs.empty()) return;
    const std::size_t count = jobs.size();
    const auto [first, last] = jobs.release();
    check_accepted(pool_.submit(first, last, count), operation);
  }
  void check_accepted(detail::submission s, const char* operation) const {
    if (s == detail::submission::closed) {
      throw rejected("thread_pool \"" + name() + "\": " + operation + " after shutdown");
    }
    if (s == detail::submission::full) {
      throw rejected("thread_pool \"" + name() + "\": " + operation + ": the queue is full");
    }
  }

  detail::pool_ref pool_;
};

}  // namespace heddle::inline HEDDLE_ABI
