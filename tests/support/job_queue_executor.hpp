// An executor that keeps its jobs until the test runs or discards them.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>

namespace heddle_test {

class job_queue_executor {
 public:
  job_queue_executor() = default;
  ~job_queue_executor() { give_all(heddle::verb::discard); }
  job_queue_executor(const job_queue_executor&) = delete;
  job_queue_executor& operator=(const job_queue_executor&) = delete;

  heddle::executor_ref executor() noexcept { return {this, &post}; }

  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return jobs_.size();
  }
  void run_all() { give_all(heddle::verb::run); }
  void discard_all() { give_all(heddle::verb::discard); }

 private:
  static void post(void* self, heddle::job* j) noexcept {
    auto* const executor = static_cast<job_queue_executor*>(self);
    const std::lock_guard lock(executor->mutex_);
    executor->jobs_.push_back(j);
  }
  void give_all(heddle::verb v) {
    while (heddle::job* const j = pop()) j->run(j, v);
  }
  heddle::job* pop() {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) return nullptr;
    heddle::job* const j = jobs_.front();
    jobs_.pop_front();
    return j;
  }

  std::mutex mutex_;
  std::deque<heddle::job*> jobs_;
};

}  // namespace heddle_test
