// Several tasks at the same time.
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <limits>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/coro/task_set.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace coro {

// Stands for the value of a task<void> among others.
struct unit {
  friend constexpr bool operator==(unit, unit) noexcept = default;
};

}  // namespace coro

namespace detail {

// A value among others: references as pointers.
template <class T>
using gathered_value = std::conditional_t<
    std::is_void_v<T>, coro::unit,
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

// A child and, when it has ended, its value.
template <class T>
class gathered final : public task_set::child {
 public:
  gathered() noexcept : child(&ended) {}

  // Throws no_state.
  void start(task_set& set, coro::task<T>&& body) {
    child::start(set, *task_access::release(body, "gather"));
  }
  gathered_value<T> take() { return std::move(*value_); }

 private:
  static std::coroutine_handle<> ended(task_end& end, task_frame& frame) noexcept {
    auto& self = static_cast<gathered&>(end);
    auto& body = static_cast<task_promise<T>&>(frame);
    const executor_ref ran_on = frame.executor();
    std::exception_ptr failure = body.failed() ? body.take_error() : nullptr;
    if (failure == nullptr) {
      try {
        self.keep(body);
      } catch (...) {
        failure = std::current_exception();
      }
    }
    exchange_current(nullptr);  // the frame keeps it
    body.handle().destroy();
    return self.has_ended(ran_on, std::move(failure));
  }

  void keep(task_promise<T>& body) {
    if constexpr (std::is_void_v<T>) {
      value_.emplace();
    } else if constexpr (std::is_reference_v<T>) {
      value_.emplace(std::addressof(body.take()));
    } else {
      value_.emplace(body.take());
    }
  }

  std::optional<gathered_value<T>> value_;
};

// The children of a range of tasks. Those that return a value keep it, in their order.
template <class T>
class gathered_children {
 public:
  gathered<T>& next() { return all_.emplace_back(); }
  std::vector<gathered_value<T>> take_values() {
    std::vector<gathered_value<T>> values;
    values.reserve(all_.size());
    for (gathered<T>& child : all_) values.push_back(child.take());
    return values;
  }

 private:
  std::deque<gathered<T>> all_;
};

template <>
class gathered_children<void>;

// One without a value.
class HEDDLE_API reused_child final : public task_set::child {
 public:
  explicit reused_child(gathered_children<void>& of) noexcept : child(&ended), of_(of) {}

  // Throws no_state.
  void start(task_set& set, coro::task<>&& body) {
    child::start(set, *task_access::release(body, "gather"));
  }

 private:
  static std::coroutine_handle<> ended(task_end& end, task_frame& frame) noexcept;

  gathered_children<void>& of_;
};

// The others are used again when they have ended, so there are no more of them than tasks were ever
// under way at a time. A child that ends enters a stack before it tells the set, which is the last
// that it does; the parent takes the stack as a whole.
template <>
class HEDDLE_API gathered_children<void> {
 public:
  gathered_children() = default;
  gathered_children(const gathered_children&) = delete;
  gathered_children& operator=(const gathered_children&) = delete;

  // By the parent. Throws std::bad_alloc.
  reused_child& next();
  // By the child.
  void put_back(reused_child& ended) noexcept;

 private:
  std::deque<reused_child> all_;
  job* spare_ = nullptr;  // the parent's
  prim::atomic<job*> ended_{nullptr};
};

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<coro::task<T>> = true;

// Tasks that it gives away: it owns them and is given away itself, or makes them as it is read.
template <class R>
concept task_range =
    std::ranges::input_range<R> && is_task<std::ranges::range_value_t<R>> &&
    (!std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> ||
     (!std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>>));

template <class R>
using gathered_type = typename std::ranges::range_value_t<R>::value_type;
template <class T>
using gathered_values = std::conditional_t<std::is_void_v<T>, void, std::vector<gathered_value<T>>>;

// g++ 12 warns of each frame that holds something of a user's anonymous namespace.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

template <class T, class R>
coro::task<gathered_values<T>> gather_range(R range, std::size_t limit) {
  task_set set(co_await this_frame());
  gathered_children<T> children;
  try {
    for (auto&& body : range) {
      if (set.is_stopped()) throw cancelled("stopped before all tasks had begun");
      children.next().start(set, std::move(body));
      co_await set.fewer_than(limit);
    }
  } catch (...) {
    set.fail(std::current_exception());
  }
  co_await set.all();
  set.rethrow();
  if constexpr (!std::is_void_v<T>) {
    co_return children.take_values();
  }
}

template <class... T>
coro::task<std::tuple<gathered_value<T>...>> gather_tuple(std::tuple<coro::task<T>...> bodies) {
  task_set set(co_await this_frame());
  std::tuple<gathered<T>...> children;
  const auto start_all = [&]<std::size_t... I>(std::index_sequence<I...>) {
    (std::get<I>(children).start(set, std::move(std::get<I>(bodies))), ...);
  };
  start_all(std::index_sequence_for<T...>());
  co_await set.all();
  set.rethrow();
  co_return std::apply(
      [](auto&... child) { return std::tuple<gathered_value<T>...>(child.take()...); }, children);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace detail

namespace coro {

// Runs the tasks at the same time, as jobs of the executor of the task that awaits it: on a pool in
// parallel, in a sync_wait in turns. Gives their values in the order of the tasks: a tuple, in
// which `unit` stands for void and pointers for references.
//
// The first task that fails tells the others to stop; when all have ended its exception is thrown.
// Further ones go to the unhandled handler (those that are `cancelled` are none). A stop of the
// task that awaits this reaches all of them; from one gather to those inside of it it goes by
// calls, one in the other, on the thread that requests it: some 100 bytes of its stack for each, so
// tens of thousands may be inside of each other, not millions.
// Throws no_state when one of them is not valid; then nothing has begun.
template <class... T>
task<std::tuple<heddle::detail::gathered_value<T>...>> gather(task<T>... bodies) {
  if (!(bodies.valid() && ...)) throw no_state("gather");
  return heddle::detail::gather_tuple<T...>(std::tuple<task<T>...>(std::move(bodies)...));
}

// The same for the tasks of a range that is given away (`gather(std::move(tasks))`), or that makes
// them as it is read; a view is copied and what it refers to must outlive the call. Gives a vector
// of the values, or nothing for void. Reads the range as it goes: at most `max_in_flight` of its
// tasks have begun and not ended, and frames of those that have ended are gone; what is kept until
// the end are the values, so for void the memory does not grow with the range. A range that throws
// counts as a task that does; nothing more is begun when one has failed, or the awaiting task is
// told to stop.
// Throws std::invalid_argument for a max_in_flight of 0; a task that is not valid fails, with
// no_state.
template <heddle::detail::task_range R>
auto gather(R&& range, std::size_t max_in_flight = std::numeric_limits<std::size_t>::max())
    -> task<heddle::detail::gathered_values<heddle::detail::gathered_type<R>>> {
  if (max_in_flight == 0) throw std::invalid_argument("gather: max_in_flight is 0");
  return heddle::detail::gather_range<heddle::detail::gathered_type<R>, std::remove_cvref_t<R>>(
      std::forward<R>(range), max_in_flight);
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
