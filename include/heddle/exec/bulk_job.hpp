// f(0), f(1), ... f(n - 1) as tasks of one pool, without a cell for each. Users need
// thread_pool::post_bulk and submit_bulk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/pool_ref.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What a bulk comes to: a future, or nothing.
class bulk_result {
 public:
  future<void> get_future() { return promise_.get_future(); }
  // What happens only after its tasks have ended.
  const void* event() const noexcept { return access::event(promise_); }

  // The first exception; the others are unhandled.
  void fail(std::exception_ptr e) noexcept {
    if (failed_.exchange(true, prim::acq_rel)) {
      report_unhandled(std::move(e));
    } else {
      error_ = std::move(e);
    }
  }

  // The future was cancelled. Asked while some task is claimed and not finished.
  bool unwanted() const { return promise_.is_cancelled(); }

  // After the last task.
  void complete(bool discarded) noexcept {
    if (error_ != nullptr) {
      promise_.set_exception(std::move(error_));
    } else if (discarded) {
      promise_.set_cancelled();
    } else {
      promise_.set_value();
    }
  }

 private:
  promise<void> promise_;
  prim::atomic<bool> failed_{false};
  std::exception_ptr error_;  // of whoever set failed_
};

class no_bulk_result {
 public:
  const void* event() const noexcept { return nullptr; }
  void fail(std::exception_ptr e) noexcept { report_unhandled(std::move(e)); }
  bool unwanted() const noexcept { return false; }
  void complete(bool) noexcept {}
};

// The callable, and what is left to be done. The callable goes, and then the result is complete,
// when the last task has ended; the memory when the last job that refers to it has.
template <class F, class Result>
class bulk_work {
 public:
  // Throws std::bad_alloc, and what copying the callable throws.
  template <class G>
  static bulk_work* make(executor_ref where, prim::stop_token stop, std::size_t tasks, G&& f) {
    void* const memory = prim::allocate_cell(sizeof(bulk_work), alignof(bulk_work));
    try {
      return ::new (memory) bulk_work(where, std::move(stop), tasks, std::forward<G>(f));
    } catch (...) {
      prim::deallocate_cell(memory, sizeof(bulk_work), alignof(bulk_work));
      throw;
    }
  }

  Result& result() noexcept { return result_; }
  bool stop_requested() const noexcept { return stop_.stop_requested(); }

  // While a task is claimed and not finished.
  context_ref context() const noexcept { return context_.get(); }
  const char* name() const noexcept { return task_name_of(*function_); }
  void call(std::size_t index) noexcept {
    try {
      static_cast<void>((*function_)(index));
    } catch (...) {
      result_.fail(std::current_exception());
    }
  }

  void finished(std::size_t tasks) noexcept {
    if (tasks == 0 || unfinished_.fetch_sub(tasks, prim::acq_rel) != tasks) return;
    function_.reset();
    context_.reset();
    result_.complete(discarded_.load(prim::relaxed));
  }
  void discard(std::size_t tasks) noexcept {
    if (tasks == 0) return;
    discarded_.store(true, prim::relaxed);
    finished(tasks);
  }

  void retain() noexcept { jobs_.fetch_add(1, prim::relaxed); }
  void release() noexcept {
    if (jobs_.fetch_sub(1, prim::acq_rel) != 1) return;
    this->~bulk_work();
    prim::deallocate_cell(this, sizeof(bulk_work), alignof(bulk_work));
  }

  const executor_ref executor;

 private:
  template <class G>
  bulk_work(executor_ref where, prim::stop_token stop, std::size_t tasks, G&& f)
      : executor(where),
        stop_(std::move(stop)),
        function_(std::in_place, std::forward<G>(f)),
        unfinished_(tasks) {}
  ~bulk_work() = default;

  const prim::stop_token stop_;  // of the pool
  captured_context context_;
  std::optional<F> function_;
  [[no_unique_address]] Result result_;
  prim::atomic<std::size_t> unfinished_;
  prim::atomic<std::size_t> jobs_{1};
  prim::atomic<bool> discarded_{false};
};

// A run of indexes whose tasks have not begun, claimed one by one from its front. While anything is
// left in it, it has an entry in the pool's queues: a worker that visits it puts the entry back
// before it runs the first task, so that every task that has not begun can be had by others, and
// cuts off the upper half for a run of its own if another one has been here. It returns to the pool
// after some tasks, or as soon as that has something more urgent to do.
//
// References: the entry, and each visitor.
template <class Work>
class bulk_job final : public job {
 public:
  static constexpr std::size_t longest = std::size_t{1} << 31;

  // Null without memory. Takes over one reference to the work. Requires: end - begin <= longest.
  static bulk_job* make(Work& work, std::size_t begin, std::size_t end) noexcept {
    try {
      void* const memory = prim::allocate_cell(sizeof(bulk_job), alignof(bulk_job));
      return ::new (memory) bulk_job(work, begin, end);
    } catch (...) {
      return nullptr;
    }
  }

 private:
  // What is left, relative to base_.
  struct range {
    std::uint32_t next = 0;
    std::uint32_t end = 0;
    std::uint32_t size() const noexcept { return end - next; }
  };
  static std::uint64_t packed(range r) noexcept { return std::uint64_t{r.next} << 32 | r.end; }
  static range unpacked(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
  }

  bulk_job(Work& work, std::size_t begin, std::size_t end) noexcept
      : job(&act),
        work_(work),
        base_(begin),
        left_(packed({0, static_cast<std::uint32_t>(end - begin)})) {}
  ~bulk_job() = default;

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<bulk_job*>(j);
    if (v == verb::run) self->visit();
    if (v == verb::discard) self->discard();
  }

  void visit() noexcept {
    const void* const here = prim::thread_value(prim::thread_slot::worker);
    range left = unpacked(left_.load(prim::relaxed));
    if (left.size() > 1) {
      bulk_job* own = nullptr;
      if (visitor_ != here || here == nullptr) {
        own = cut();
        visitor_ = here;
      }
      references_.fetch_add(1, prim::relaxed);
      work_.executor.post(this);
      if (own != nullptr) {
        own->visitor_ = here;
        own->references_.fetch_add(1, prim::relaxed);
        work_.executor.post(own);
        release();
        own->run_some();
        own->release();
        return;
      }
    }
    run_some();
    release();
  }

  void run_some() noexcept {
    std::size_t index = 0;
    if (!claim(index)) return;
    bulk_visit visit(work_.executor);
    {
      const task_scope around(work_.context(), work_.name(), work_.result().event());
      do {
        visit.count_task();
        if (work_.result().unwanted()) {
          give_up_rest();
          break;
        }
        work_.call(index);
      } while (visit.goes_on() && claim(index));
    }
    work_.finished(visit.tasks());
  }

  bool claim(std::size_t& index) noexcept {
    if (work_.stop_requested()) return false;
    std::uint64_t word = left_.load(prim::relaxed);
    for (;;) {
      range r = unpacked(word);
      if (r.size() == 0) return false;
      index = base_ + r.next++;
      if (left_.compare_exchange_weak(word, packed(r), prim::relaxed, prim::relaxed)) return true;
    }
  }

  // The upper half as a run of its own; null when there is nothing to halve, or no memory.
  bulk_job* cut() noexcept {
    bulk_job* const upper = make(work_, 0, 0);
    if (upper == nullptr) return nullptr;
    std::uint64_t word = left_.load(prim::relaxed);
    for (;;) {
      range r = unpacked(word);
      const std::uint32_t kept = (r.size() + 1) / 2;
      upper->base_ = base_ + r.next + kept;
      upper->left_.store(packed({0, r.size() - kept}), prim::relaxed);
      if (r.size() - kept == 0) break;
      r.end = r.next + kept;
      if (left_.compare_exchange_weak(word, packed(r), prim::relaxed, prim::relaxed)) {
        work_.retain();
        return upper;
      }
    }
    upper->~bulk_job();
    prim::deallocate_cell(upper, sizeof(bulk_job), alignof(bulk_job));
    return nullptr;
  }

  void discard() noexcept {
    give_up_rest();
    release();
  }
  void give_up_rest() noexcept { work_.discard(unpacked(left_.exchange(0, prim::relaxed)).size()); }

  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) != 1) return;
    give_up_rest();  // what nobody claimed because the pool stops
    Work& work = work_;
    this->~bulk_job();
    prim::deallocate_cell(this, sizeof(bulk_job), alignof(bulk_job));
    work.release();
  }

  Work& work_;
  std::size_t base_;
  prim::atomic<std::uint64_t> left_;
  prim::atomic<std::uint32_t> references_{1};
  const void* visitor_ = nullptr;  // the last worker that had the entry; of whoever has it
};

}  // namespace heddle::inline HEDDLE_ABI::detail
