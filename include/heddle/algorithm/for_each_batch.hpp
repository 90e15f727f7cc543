// A function over a range in batches, a bounded number of them at a time.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/algorithm/batch_rhythm.hpp>
#include <heddle/algorithm/loop.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/future/future.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/event.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class batch_errors {
  stop,     // the first exception ends it, and is thrown
  collect,  // all batches are tried, and the exceptions are in the summary
};

// Of batches that have ended, in the order of the input.
struct batch_progress {
  std::size_t batches = 0;
  std::size_t items = 0;   // in them
  std::size_t failed = 0;  // batches that threw
};

struct batch_options {
  // Items in a batch. 0: so many that a batch takes about a millisecond, found while it runs.
  std::size_t size = 100;
  // Batches that are submitted and not yet taken back. 0: four for each worker of a pool, 16 on
  // another executor.
  std::size_t max_in_flight = 0;
  // Before each batch but the first, counted from when there is room for it.
  std::chrono::nanoseconds pause{0};
  // 0: no limit.
  double items_per_second = 0;
  // Items that may go at once after a time without any. 0: a batch, or one where size is found.
  double burst = 0;
  batch_errors errors = batch_errors::stop;
  prim::stop_token stop{};
  // Called by the calling thread when it takes a batch back.
  std::function<void(const batch_progress&)> progress{};
};

struct batch_failure {
  std::size_t batch;  // counted from 0
  std::size_t first;  // the position of its first item in the range
  std::size_t items;
  std::exception_ptr error;
};

struct batch_summary {
  batch_progress done;
  std::vector<batch_failure> failures;  // in the order of the input
  bool stopped = false;                 // by the token, before the end of the range
};

namespace detail {

template <class R>
struct batch_of {  // of a range that is read only once: a buffer
  using type = std::vector<std::ranges::range_value_t<R>>;
};
template <std::ranges::forward_range R>
struct batch_of<R> {
  using type = std::ranges::subrange<std::ranges::iterator_t<R>>;
};
template <std::ranges::contiguous_range R>
struct batch_of<R> {
  using type = std::span<std::remove_reference_t<std::ranges::range_reference_t<R>>>;
};

// Who is told of a buffer's items may see them in place, or get the buffer itself.
template <class F, class Batch>
struct batch_argument {
  using type = Batch;
};
template <class F, class T>
  requires std::invocable<F&, std::span<T>>
struct batch_argument<F, std::vector<T>> {
  using type = std::span<T>;
};

struct ignore_result {
  template <class T>
  void operator()(T&&) const noexcept {}
};

// One for_each_batch: reads batches, hands them out, and takes them back in their order.
template <class Where, class R, class F, class Take>
class batch_feeder {
  using batch = typename batch_of<R>::type;
  using argument = typename batch_argument<F, batch>::type;
  using raw_result = std::invoke_result_t<F&, argument>;
  static constexpr bool has_result = !std::is_void_v<raw_result>;
  struct ended {
    std::conditional_t<has_result, std::decay_t<raw_result>, no_value> value;
    std::chrono::nanoseconds took;
  };
  struct entry {
    future<ended> result;
    std::size_t first;
    std::size_t items;
  };

 public:
  batch_feeder(Where& where, R& range, F& f, Take& take, const batch_options& options,
               const char* operation)
      : where_(where),
        range_(range),
        function_(f),
        take_(take),
        options_(options),
        sizer_(options.size),
        pace_(options.pause, options.items_per_second, options.burst, sizer_.next({}, 1)),
        most_(options.max_in_flight != 0 ? options.max_in_flight : usual_in_flight(where)),
        size_(known_size(range, operation)),
        position_(std::ranges::begin(range)) {}
  batch_feeder(const batch_feeder&) = delete;
  batch_feeder& operator=(const batch_feeder&) = delete;
  ~batch_feeder() { give_up(); }

  batch_summary run() {
    for (;;) {
      while (tasks_.size() >= most_ && !stopped()) take_back();
      if (stopped()) break;
      const std::size_t first = first_unread_;
      batch next = read();
      const std::size_t items = first_unread_ - first;
      if (items == 0) break;
      if (!wait_for_turn(items)) break;
      submit(std::move(next), items);
    }
    while (!tasks_.empty()) take_back();
    return std::move(summary_);
  }

 private:
  static std::optional<std::size_t> known_size(R& range, const char* operation) {
    if constexpr (std::ranges::sized_range<R>) {
      return size_of_range(range, operation);
    } else {
      return std::nullopt;
    }
  }
  static std::size_t usual_in_flight(Where& where) noexcept {
    if constexpr (std::same_as<Where, thread_pool>) {
      return std::size_t{4} * where.size();
    } else {
      return 16;
    }
  }

  bool stopped() noexcept {
    if (options_.stop.stop_requested()) summary_.stopped = true;
    return summary_.stopped;
  }

  // The next items of the range; none at its end.
  batch read() {
    const std::size_t size = sizer_.next(left(), most_);
    if constexpr (std::ranges::forward_range<R>) {
      const auto first = position_;
      std::size_t items = 0;
      if constexpr (std::ranges::random_access_range<R> && std::ranges::sized_range<R>) {
        items = std::min(size, *left());
        position_ += static_cast<std::ranges::range_difference_t<R>>(items);
      } else {
        for (; items != size && position_ != std::ranges::end(range_); ++items) ++position_;
      }
      first_unread_ += items;
      if constexpr (std::ranges::contiguous_range<R>) {
        return batch(std::to_address(first), items);
      } else {
        return batch(first, position_);
      }
    } else {
      batch items;
      while (items.size() != size) {
        if (read_here_) ++position_;
        read_here_ = false;
        if (position_ == std::ranges::end(range_)) break;
        items.push_back(*position_);
        read_here_ = true;
        ++first_unread_;
      }
      return items;
    }
  }

  std::optional<std::size_t> left() const {
    if (!size_) return std::nullopt;
    return *size_ - first_unread_;
  }

  // False: a stop was requested.
  bool wait_for_turn(std::size_t items) {
    const prim::time_point now = prim::clock::now();
    const prim::time_point turn = pace_.next(items, now);
    if (turn > now) {
      manual_reset_event nothing;
      nothing.wait_until(turn, options_.stop);
    }
    return !stopped();
  }

  void submit(batch&& next, std::size_t items) {
    tasks_.push_back({{}, first_unread_ - items, items});
    try {
      tasks_.back().result = submit_to(where_, [this, b = std::move(next)]() mutable -> ended {
        if (!sizer_measures_) return {call(b), {}};
        const prim::time_point begun = prim::clock::now();
        auto value = call(b);
        return {std::move(value), prim::clock::now() - begun};
      });
    } catch (...) {
      tasks_.pop_back();
      throw;
    }
  }

  template <class Task>
  static future<ended> submit_to(Where& where, Task&& task) {
    if constexpr (std::same_as<Where, thread_pool>) {
      return where.submit(std::forward<Task>(task));
    } else {
      return heddle::submit(where, std::forward<Task>(task));
    }
  }

  auto call(batch& b) {
    if constexpr (has_result) {
      return std::decay_t<raw_result>(detail::invoke(function_, argument_of(b)));
    } else {
      detail::invoke(function_, argument_of(b));
      return no_value();
    }
  }
  static argument argument_of(batch& b) {
    if constexpr (std::same_as<argument, batch>) {
      return std::move(b);
    } else {
      return argument(b);
    }
  }

  // Waits for the oldest batch. When a stop comes first, those that have not begun are dropped.
  void take_back() {
    entry& oldest = tasks_.front();
    if (!summary_.stopped && options_.stop.stop_possible() && !oldest.result.wait(options_.stop)) {
      summary_.stopped = true;
    }
    if (summary_.stopped && oldest.result.cancel()) return tasks_.pop_front();
    const std::size_t number = summary_.done.batches++;
    summary_.done.items += oldest.items;
    std::optional<ended> result;
    try {
      result.emplace(oldest.result.get());
    } catch (...) {
      // Waiting has failed, and not the batch.
      if (oldest.result.valid()) throw;
      if (options_.errors == batch_errors::stop) throw;
      ++summary_.done.failed;
      summary_.failures.push_back({number, oldest.first, oldest.items, std::current_exception()});
    }
    if (result) {
      sizer_.measured(oldest.items, result->took);
      if constexpr (has_result) detail::invoke(take_, std::move(result->value));
    }
    tasks_.pop_front();
    if (options_.progress) options_.progress(summary_.done);
  }

  // Tasks refer to this feeder.
  void give_up() noexcept {
    for (entry& e : tasks_) {
      if (e.result.valid()) e.result.cancel();
    }
    for (entry& e : tasks_) {
      if (e.result.valid()) access::await_regardless(e.result);
    }
  }

  Where& where_;
  R& range_;
  F& function_;
  Take& take_;
  const batch_options& options_;
  batch_sizer sizer_;
  const bool sizer_measures_ = sizer_.measures();
  batch_pace pace_;
  const std::size_t most_;
  const std::optional<std::size_t> size_;
  std::ranges::iterator_t<R> position_;
  bool read_here_ = false;        // what is at the position, of a range that is read only once
  std::size_t first_unread_ = 0;  // counted from the beginning of the range
  std::deque<entry> tasks_;
  batch_summary summary_;
};

template <class Where, class R, class F, class Take>
batch_summary feed_batches(Where& where, R& range, F& f, Take& take, const batch_options& options,
                           const char* operation) {
  require_callable(f, operation);
  require_callable(take, operation);
  if constexpr (std::same_as<Where, thread_pool>) {
    return batch_feeder<Where, R, F, Take>(where, range, f, take, options, operation).run();
  } else {
    executor_ref home = named_executor(where, operation);
    return batch_feeder<executor_ref, R, F, Take>(home, range, f, take, options, operation).run();
  }
}

}  // namespace detail

// Calls f(batch) for each batch of the range, on the default pool, several at a time, and returns
// when all have ended. For work that is too small for a task each, or that goes to somebody who
// wants it in portions, or slowly.
//
// A batch is a std::span of a contiguous range, a std::ranges::subrange of another one that can be
// read twice; of a range that cannot, as a generator's, it is a buffer: a std::span of it if f
// takes one, else a std::vector to keep. The range is read by the calling thread alone, never
// further than to the batch that comes next. So memory is bounded, whatever the range's length, by
// the batches in flight.
// f's result, if it has one, is dropped: see map_batches.
//
// Requires: f may be called concurrently.
// Blocks. On a worker it may run batches itself; while it waits for a pause or a rate, or with a
// stop_token, a spare stands in.
// Stop: no batch begins after a stop was requested; those that run are waited for, and counted.
// Errors: with batch_errors::stop the exception that comes first in the order of the input is
// thrown, when the batches that have begun have ended; others have not begun. With ::collect
// the summary has them. Throws also what reading the range, submitting, and the progress function
// throw, would_starve, std::invalid_argument for a null callable or executor, a negative pause or
// rate, or a range that ends before it begins; all of that ends it in the same way. Exceptions that
// come on top of the one that is thrown go to the unhandled handler.
template <std::ranges::input_range R, class F>
batch_summary for_each_batch(R&& range, F&& f, const batch_options& options = {}) {
  const detail::ignore_result nothing;
  return detail::feed_batches(default_pool(), range, f, nothing, options, "for_each_batch");
}

// The same on that pool, or on any executor.
template <takes_jobs Where, std::ranges::input_range R, class F>
batch_summary for_each_batch(Where&& where, R&& range, F&& f, const batch_options& options = {}) {
  const detail::ignore_result nothing;
  return detail::feed_batches(where, range, f, nothing, options, "for_each_batch");
}

// The same with results: take(f(batch)) for each batch that has one, by the calling thread, in the
// order of the input, while later batches run. Exceptions of `take` are thrown, and end it.
template <std::ranges::input_range R, class F, class Take>
  requires(!std::same_as<std::remove_cvref_t<Take>, batch_options>)
batch_summary map_batches(R&& range, F&& f, Take&& take, const batch_options& options = {}) {
  return detail::feed_batches(default_pool(), range, f, take, options, "map_batches");
}
template <takes_jobs Where, std::ranges::input_range R, class F, class Take>
  requires(!std::same_as<std::remove_cvref_t<Take>, batch_options>)
batch_summary map_batches(Where&& where, R&& range, F&& f, Take&& take,
                          const batch_options& options = {}) {
  return detail::feed_batches(where, range, f, take, options, "map_batches");
}

}  // namespace heddle::inline HEDDLE_ABI
