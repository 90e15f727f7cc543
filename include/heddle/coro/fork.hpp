// Tasks that compute in parallel, and cost next to nothing where nobody is free for them.
#pragma once

#include <array>
#include <cassert>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/coro/task_set.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// For fork_join, whose frame is the parent, and has said so.
class fork_wait {
 public:
  explicit fork_wait(task_frame* child) noexcept : child_(child) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  transfer await_suspend(std::coroutine_handle<P> parent) noexcept {
    task_frame& frame = parent.promise();
    if (frame.has_failed_child()) [[unlikely]]
      return transfer_to<transfer>(drop(parent));
    return transfer_to<transfer>(frame.fork(*child_, task_frame::after_end::dropped));
  }
  void await_resume() const noexcept {}

 protected:
  // What follows a failure need not begin. (Not a transfer: that is another type in code without
  // optimization, and this is no template, so one program has one of it.)
  std::coroutine_handle<> drop(std::coroutine_handle<> parent) const noexcept {
    child_->handle().destroy();
    return parent;
  }

  task_frame* const child_;
};

class call_wait : fork_wait {
 public:
  using fork_wait::await_ready;
  using fork_wait::await_resume;
  using fork_wait::fork_wait;

  template <std::derived_from<task_frame> P>
  transfer await_suspend(std::coroutine_handle<P> parent) noexcept {
    task_frame& frame = parent.promise();
    if (frame.has_failed_child()) [[unlikely]]
      return transfer_to<transfer>(drop(parent));
    return transfer_to<transfer>(frame.call(*child_, task_frame::after_end::dropped));
  }
};

class join_wait {
 public:
  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  bool await_suspend(std::coroutine_handle<P> parent) noexcept {
    task_frame& frame = parent.promise();
    if (frame.join_at_once()) [[likely]]
      return false;
    frame_ = &frame;
    return frame.forks() && !frame.nobody_was_taken() && frame.suspend_for_join();
  }
  void await_resume() {
    if (frame_ != nullptr) [[unlikely]]
      std::exchange(frame_, nullptr)->settle();
  }

 private:
  task_frame* frame_ = nullptr;  // where there is something to be settled
};

template <class T>
class fork_await;

template <class T>
concept forkable = std::is_void_v<T> || (std::default_initializable<gathered_value<T>> &&
                                         std::is_move_assignable_v<gathered_value<T>>);

template <class T>
task_frame* begin_of(coro::task<T>& body, gathered_value<T>& value) {
  task_promise<T>* const promise = task_access::release(body, "fork_join");
  if constexpr (!std::is_void_v<T>) promise->put_value_into(value);
  return promise;
}

// g++ 12 warns of each frame that holds something of a user's anonymous namespace.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

// Nothing throws between the first fork and the join.
template <class... T>
coro::task<std::tuple<gathered_value<T>...>> fork_tuple(std::tuple<coro::task<T>...> bodies) {
  std::tuple<gathered_value<T>...> values{};
  const auto all = [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<task_frame*, sizeof...(T)>{
        begin_of(std::get<I>(bodies), std::get<I>(values))...};
  }(std::index_sequence_for<T...>());
  task_frame& own = co_await this_frame();
  own.begin_to_fork();
  for (std::size_t i = 0; i + 1 < all.size(); ++i) co_await fork_wait(all[i]);
  co_await call_wait(all.back());
  co_await join_wait();
  co_return values;
}

template <class T, class R>
coro::task<gathered_values<T>> fork_range(R range) {
  std::deque<gathered_value<T>> values;
  task_frame& own = co_await this_frame();
  own.begin_to_fork();
  try {
    for (auto&& body : range) {
      if (own.has_failed_child()) break;
      co_await fork_wait(begin_of(body, values.emplace_back()));
    }
  } catch (...) {
    own.fail_child(std::current_exception());
  }
  co_await join_wait();
  if constexpr (!std::is_void_v<T>) {
    co_return gathered_values<T>(std::move_iterator(values.begin()),
                                 std::move_iterator(values.end()));
  }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace detail

namespace coro {

// A task that was forked, and its value when it has been joined.
//
// Thread-safety: none. Blocks? No. Allocates? No.
// Destruction: the task goes on, and what it returns is dropped.
template <class T>
class forked {
 public:
  // Of nothing.
  forked() noexcept = default;
  forked(forked&& other) noexcept : child_(std::exchange(other.child_, nullptr)) {}
  forked& operator=(forked&& other) noexcept {
    forked(std::move(other)).swap(*this);
    return *this;
  }
  ~forked() {
    if (child_ != nullptr) let_go(*child_);
  }

  // False after default construction, a move and get(), and for a task that did not begin.
  bool valid() const noexcept { return child_ != nullptr; }

  // The value, once, behind the join. Throws no_state when it is not valid, has not ended (before
  // the join that may be so), or has failed.
  T get() {
    if (child_ == nullptr || !child_->is_left_with_value()) [[unlikely]]
      throw_no_value();
    const owner last{*std::exchange(child_, nullptr)};
    return last.child.take_value();
  }

  void swap(forked& other) noexcept { std::swap(child_, other.child_); }

 private:
  friend heddle::detail::fork_await<T>;

  struct owner {
    ~owner() { child.handle().destroy(); }
    heddle::detail::task_promise<T>& child;
  };

  // Calls, so that an object in a frame has no address.
  [[noreturn, gnu::noinline]] static void throw_no_value() { throw no_state("forked::get"); }
  [[gnu::noinline]] static void let_go(heddle::detail::task_promise<T>& child) noexcept {
    using leaving = heddle::detail::task_frame::leaving;
    if (child.is_left() || !child.leave(leaving::without_value)) child.handle().destroy();
  }

  explicit forked(heddle::detail::task_promise<T>* child) noexcept : child_(child) {}

  heddle::detail::task_promise<T>* child_ = nullptr;
};

}  // namespace coro

namespace detail {

template <class T>
class [[nodiscard]] fork_await {
 public:
  explicit fork_await(task_promise<T>* child) noexcept : child_(child) {}
  fork_await(const fork_await&) = delete;
  fork_await& operator=(const fork_await&) = delete;
  ~fork_await() {
    if (child_ != nullptr) child_->handle().destroy();
  }

  bool await_ready() const noexcept { return false; }
  template <class U>
  transfer await_suspend(std::coroutine_handle<task_promise<U>> parent) noexcept {
    assert(child_ != nullptr);
    task_frame& frame = parent.promise();
    if (!frame.forks()) {
      frame.begin_to_fork();
    } else if (frame.has_failed_child()) [[unlikely]] {
      drop(*std::exchange(child_, nullptr));
      return transfer_to<transfer>(parent);
    }
    return transfer_to<transfer>(frame.fork(*child_, task_frame::after_end::kept));
  }
  coro::forked<T> await_resume() noexcept {
    return coro::forked<T>(std::exchange(child_, nullptr));
  }

 private:
  [[gnu::noinline]] static void drop(task_frame& child) noexcept { child.handle().destroy(); }

  task_promise<T>* child_;
};

}  // namespace detail

namespace coro {

// Begins a task, and leaves the rest of the calling one to a worker that has nothing to do:
//
//   coro::task<long> fib(int n) {
//     if (n < 2) co_return n;
//     auto a = co_await coro::fork(fib(n - 1));
//     const long b = co_await fib(n - 2);
//     co_await coro::join();
//     co_return a.get() + b;
//   }
//
// The calling task is the parent, and the other its child. On a worker of a thread_pool the parent
// goes on when another worker has taken it, or when the child has ended or waits for something. On
// any other executor it goes on when the child has ended. So a child must not wait for what its
// parent does later.
//
// A child ends before its parent counts as ended: where that one comes to its end without a join,
// by an exception as well, whoever awaits it waits on, without a thread. What a child refers to has
// to outlive that. So it may refer to variables of its parent only if nothing can throw between the
// fork and the join (an await can); where that matters take fork_join, which nothing leaves before
// its tasks have ended.
//
// A child that fails stops its siblings, and what follows does not begin: the handle is not valid.
// The join throws the failure; without one it is that of the parent, or, when that has failed
// itself, goes to the unhandled handler. A parent that fails stops its children.
//
// What a child was given by value lives until it has ended and its handle is gone: a permit in a
// child's arguments is not given back before.
//
// Requires: the result is awaited once. Neither parent nor child awaits anything of another library
// that resumes a coroutine where it happens to be: Heddle's awaits, and heddle::asio, post.
// Throws no_state when the task is not valid. A stop reaches the children of children by nested
// calls, one for each level below which somebody waits: many thousands of levels overflow
// the stack. Otherwise as fork_join.
template <class T>
heddle::detail::fork_await<T> fork(task<T> body) {
  return heddle::detail::fork_await<T>(heddle::detail::task_access::release(body, "fork"));
}

// Waits for all children that the calling task has forked since its last join. Throws the first
// failure of one, or `cancelled` when the task's executor has refused it meanwhile; what has
// ended can be asked for its value still. Complexity: nothing but a look where nobody has taken the
// parent.
[[nodiscard]] inline heddle::detail::join_wait join() noexcept { return {}; }

// Runs the tasks, possibly in parallel, and gives their values in order: for computations that
// divide themselves.
//
//   coro::task<int> fib(int n) {
//     if (n < 2) co_return n;
//     const auto [a, b] = co_await coro::fork_join(fib(n - 1), fib(n - 2));
//     co_return a + b;
//   }
//
// On a worker of a thread_pool the first task runs at once on this thread, and what comes behind it
// is left for a worker that has nothing to do. If none has taken it when the task ends, or waits
// for something, this thread goes on with it. So a task must not wait for one behind it to begin.
// On any other executor each task runs when the one before it has ended: for waits that overlap
// there is gather, whose other rules hold here, too: the values, the first failure that stops the
// others, what a stop reaches. What is behind a failure does not begin. Throws no_state when one of
// them is not valid; then nothing has begun.
//
// Allocates a frame of its own, and nothing else, but a worker's table of forks that grows, and,
// when a task fails or asks who may stop it as it waits, a shared stop state. Uses no stack.
// Complexity: some nanoseconds a task behind which nobody took the rest, without a fence or a
// read-modify-write. (The first of a job of the executor has two of those, and a wake-up where a
// worker sleeps.)
// Source: continuation stealing after Williams and Elliott, "Libfork: portable
// continuation-stealing with stackless coroutines", 2024; the join after Schmaus et al., "Nowa: a
// wait-free continuation-stealing concurrency platform", IPDPS 2021.
template <heddle::detail::forkable... T>
  requires(sizeof...(T) > 0)
task<std::tuple<heddle::detail::gathered_value<T>...>> fork_join(task<T>... bodies) {
  if (!(bodies.valid() && ...)) throw no_state("fork_join");
  return heddle::detail::fork_tuple<T...>(std::tuple<task<T>...>(std::move(bodies)...));
}

// The same for the tasks of a range, as for gather(range); whoever takes the rest of the work reads
// on in the range.
template <heddle::detail::task_range R>
  requires heddle::detail::forkable<heddle::detail::gathered_type<R>>
auto fork_join(R&& range)
    -> task<heddle::detail::gathered_values<heddle::detail::gathered_type<R>>> {
  return heddle::detail::fork_range<heddle::detail::gathered_type<R>, std::remove_cvref_t<R>>(
      std::forward<R>(range));
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
