// The tasks of a profile, counted while a window of time is open.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/exec/profile.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What was counted. A task that lies in the window in part counts for that part, so that tasks that
// take longer than the window are counted, too, and none is preferred: while the load is the same
// all the time, what a task counts for in all windows adds up to one.
struct counted {
  double tasks = 0;
  std::chrono::nanoseconds in_tasks{};  // spent in the window
};

// Memory ordering: counters are read when the pool that ran the tasks has been shut down.
class profile_load {
 public:
  explicit profile_load(profiled_task task) : task_(task), ended_future_(ended_.get_future()) {}

  // One task, on whatever thread; `worker` is the number of that, if it has one.
  void run(std::optional<unsigned> worker) noexcept {
    if (over_.load(prim::relaxed)) return;
    if (begin_.load(prim::relaxed) == never && worker) note_start(*worker);
    const std::int64_t begin = now();
    try {
      task_.call(task_.callable, stop_.get_token());
    } catch (...) {
      fail(std::current_exception());
      return;
    }
    count(begin, std::max(now(), begin + 1));
  }

  // By the thread that measures, in this order. `workers`: one more than the highest number.
  void prepare(unsigned workers) {
    started_ = std::vector<prim::atomic<bool>>(workers);
    workers_started_.store(0, prim::relaxed);
    begin_.store(never, prim::relaxed);
    end_.store(never, prim::relaxed);
    for (lane& l : lanes_) {
      l.tasks.store(0, prim::relaxed);
      l.in_tasks.store(0, prim::relaxed);
    }
  }
  // Workers that have begun a task since then; counted until the window opens.
  unsigned workers_started() const noexcept { return workers_started_.load(prim::relaxed); }
  prim::time_point open() noexcept { return mark(begin_); }
  prim::time_point close() noexcept { return mark(end_); }
  counted result() const noexcept {
    counted sum;
    for (const lane& l : lanes_) {
      sum.tasks += static_cast<double>(l.tasks.load(prim::relaxed)) / whole_task;
      sum.in_tasks += std::chrono::nanoseconds(l.in_tasks.load(prim::relaxed));
    }
    return sum;
  }

  // No task begins any more, and those that run are asked to stop. From any thread, any number of
  // times.
  void end() noexcept {
    stop_.request_stop();
    if (!over_.exchange(true, prim::acq_rel)) ended_.set_value();
  }
  bool over() const noexcept { return over_.load(prim::acquire); }

  // False at the time given, true earlier when all is over.
  bool over_by(prim::time_point time) { return over() || ended_future_.wait_until(time); }

  // Requires: nothing runs.
  void rethrow_failure() const {
    failure_.read([](const std::exception_ptr& e) {
      if (e != nullptr) std::rethrow_exception(e);
    });
  }

 private:
  static constexpr double whole_task = 1 << 20;
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  struct alignas(destructive_interference) lane {
    prim::atomic<std::uint64_t> tasks{0};  // in shares of whole_task
    prim::atomic<std::int64_t> in_tasks{0};
  };

  static std::int64_t since_epoch(prim::time_point t) noexcept {
    return std::chrono::nanoseconds(t.time_since_epoch()).count();
  }
  static std::int64_t now() noexcept { return since_epoch(prim::clock::now()); }
  static prim::time_point mark(prim::atomic<std::int64_t>& edge) noexcept {
    const prim::time_point t = prim::clock::now();
    edge.store(since_epoch(t), prim::relaxed);
    return t;
  }

  void note_start(unsigned worker) noexcept {
    if (worker >= started_.size() || started_[worker].load(prim::relaxed)) return;
    started_[worker].store(true, prim::relaxed);
    workers_started_.fetch_add(1, prim::relaxed);
  }

  void count(std::int64_t begin, std::int64_t end) noexcept {
    const std::int64_t inside =
        std::min(end, end_.load(prim::relaxed)) - std::max(begin, begin_.load(prim::relaxed));
    if (inside <= 0) return;
    const double share = static_cast<double>(inside) / static_cast<double>(end - begin);
    lane& mine = lanes_[prim::thread_number() % lanes_.size()];
    mine.tasks.fetch_add(static_cast<std::uint64_t>(share * whole_task), prim::relaxed);
    mine.in_tasks.fetch_add(inside, prim::relaxed);
  }

  void fail(std::exception_ptr e) noexcept {
    if (failed_.exchange(true, prim::acq_rel)) return;
    failure_.write([&](std::exception_ptr& first) { first = std::move(e); });
    end();
  }

  const profiled_task task_;
  prim::stop_source stop_;
  prim::atomic<bool> over_{false};
  prim::atomic<bool> failed_{false};
  prim::cell<std::exception_ptr> failure_;  // of whoever set failed_
  promise<void> ended_;
  future<void> ended_future_;
  prim::atomic<std::int64_t> begin_{never};
  prim::atomic<std::int64_t> end_{never};
  std::vector<prim::atomic<bool>> started_;  // by worker
  prim::atomic<unsigned> workers_started_{0};
  std::array<lane, 64> lanes_{};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
