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

// The callable, shared by the jobs that are left of it, and what becomes of its exceptions.
template <class F>
class bulk_work {
 public:
  template <class G>
  bulk_work(executor_ref where, prim::stop_token stop, bool with_future, G&& f)
      : executor(where), stop_(std::move(stop)), function_(std::forward<G>(f)) {
    if (with_future) result_.emplace();
  }

  future<void> get_future() { return result_->get_future(); }

  context_ref context() const noexcept { return context_.get(); }
  const char* name() const noexcept { return task_name_of(function_); }

  void call(std::size_t index) noexcept {
    try {
      static_cast<void>(function_(index));
    } catch (...) {
      fail(std::current_exception());
    }
  }

  bool stop_requested() const noexcept { return stop_.stop_requested(); }
  void discard() noexcept { discarded_.store(true, prim::relaxed); }

  void retain() noexcept { jobs_.fetch_add(1, prim::relaxed); }
  void release() noexcept {
    if (jobs_.fetch_sub(1, prim::acq_rel) != 1) return;
    std::optional<promise<void>> result = std::move(result_);
    std::exception_ptr error = std::move(error_);
    const bool discarded = discarded_.load(prim::relaxed);
    this->~bulk_work();  // the callable is gone before its future is ready
    prim::deallocate_cell(this, sizeof(bulk_work), alignof(bulk_work));
    if (!result) return;
    if (error == nullptr && discarded) error = std::make_exception_ptr(cancelled());
    if (error != nullptr) {
      result->set_exception(std::move(error));
    } else {
      result->set_value();
    }
  }

  const executor_ref executor;

 private:
  ~bulk_work() = default;

  void fail(std::exception_ptr e) noexcept {
    if (result_ && !failed_.exchange(true, prim::acq_rel)) {
      error_ = std::move(e);
    } else {
      report_unhandled(std::move(e));
    }
  }

  const prim::stop_token stop_;  // of the pool
  captured_context context_;
  F function_;
  std::optional<promise<void>> result_;
  prim::atomic<std::size_t> jobs_{1};
  prim::atomic<bool> discarded_{false};
  prim::atomic<bool> failed_{false};
  std::exception_ptr error_;  // of whoever set failed_; read by the last one
};

// A run of indexes whose tasks have not begun, claimed one by one from its front. While anything is
// left in it, it has an entry in the pool's queues: a worker that visits it puts the entry back
// before it runs the first task, so that every task that has not begun can be had by others, and
// cuts off the upper half for a run of its own if another one has been here. After some tasks it
// returns to the pool, which may have more urgent things to do.
//
// References: the entry, and each visitor.
template <class F>
class bulk_job final : public job {
 public:
  static constexpr std::size_t longest = std::size_t{1} << 31;

  // Null without memory. Takes over one reference to the work. Requires: end - begin <= longest.
  static bulk_job* make(bulk_work<F>& work, std::size_t begin, std::size_t end) noexcept {
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

  bulk_job(bulk_work<F>& work, std::size_t begin, std::size_t end) noexcept
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
    constexpr unsigned longest_visit = 64;
    const task_scope around(work_.context(), work_.name());
    unsigned done = 0;
    for (std::size_t index = 0; done < longest_visit && claim(index); ++done) work_.call(index);
    if (done > 1) count_bulk_tasks(work_.executor, done - 1);
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
    if (unpacked(left_.exchange(0, prim::relaxed)).size() != 0) work_.discard();
    release();
  }

  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) != 1) return;
    if (unpacked(left_.load(prim::relaxed)).size() != 0) work_.discard();
    bulk_work<F>& work = work_;
    this->~bulk_job();
    prim::deallocate_cell(this, sizeof(bulk_job), alignof(bulk_job));
    work.release();
  }

  bulk_work<F>& work_;
  std::size_t base_;
  prim::atomic<std::uint64_t> left_;
  prim::atomic<std::uint32_t> references_{1};
  const void* visitor_ = nullptr;  // the last worker that had the entry; of whoever has it
};

}  // namespace heddle::inline HEDDLE_ABI::detail
