// f(0), ..., f(count - 1) for algorithms each step of which is worth a task. Users need
// map_reduce.hpp and the like.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <vector>

#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/future/future.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Where an algorithm runs that was not told where: on the calling worker's pool, or the default
// pool.
struct unnamed_place {};

// One run of all indexes. Throws the first exception of f, and `cancelled` when a stop was
// requested in time to leave something out; in both cases after what had begun has ended. What had
// not begun is left out; further exceptions go to the unhandled handler.
template <class F>
class index_tasks {
 public:
  index_tasks(std::size_t count, const prim::stop_token& stop, F& f) noexcept
      : count_(count), stop_(stop), f_(f) {}

  void run(unnamed_place) {
    if (count_ != 0) split(0, count_);
    tell_what_was_left_out();
  }
  void run(thread_pool& pool) {
    if (count_ == 0) return;
    parallel_invoke(pool, [this] { split(0, count_); });
    tell_what_was_left_out();
  }
  // Each index is a task of the executor.
  void run(executor_ref where) {
    tasks_in_flight tasks;
    tasks.all.reserve(count_);
    for (std::size_t i = 0; i != count_; ++i) {
      tasks.all.push_back(submit(where, [this, i] { call(i); }));
    }
    for (future<void>& t : tasks.all) t.get();
    tell_what_was_left_out();
  }

 private:
  // Tasks that were not waited for, because something threw, refer to what is about to go.
  struct tasks_in_flight {
    std::vector<future<void>> all;

    ~tasks_in_flight() {
      for (future<void>& t : all) {
        if (t.valid()) t.cancel();
      }
      for (future<void>& t : all) {
        if (t.valid()) access::await_regardless(t);
      }
    }
  };

  void split(std::size_t first, std::size_t last) {
    if (last - first == 1) return call(first);
    const std::size_t middle = first + (last - first) / 2;
    parallel_invoke([&] { split(middle, last); }, [&] { split(first, middle); });
  }

  void call(std::size_t index) {
    if (failed_.load(prim::relaxed)) return;
    if (stop_.stop_requested()) return left_out_.store(true, prim::relaxed);
    try {
      f_(index);
    } catch (...) {
      failed_.store(true, prim::relaxed);
      throw;
    }
  }

  void tell_what_was_left_out() const {
    if (left_out_.load(prim::relaxed)) throw cancelled("a stop was requested");
  }

  const std::size_t count_;
  const prim::stop_token& stop_;
  F& f_;
  prim::atomic<bool> failed_{false};
  prim::atomic<bool> left_out_{false};
};

template <class Where, class F>
void for_each_index(Where& where, std::size_t count, const prim::stop_token& stop, F f) {
  index_tasks<F> tasks(count, stop, f);
  if constexpr (std::same_as<std::remove_const_t<Where>, unnamed_place> ||
                std::same_as<Where, thread_pool>) {
    tasks.run(where);
  } else {
    tasks.run(named_executor(where, "algorithm"));
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
