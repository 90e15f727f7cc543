// The jobs that other threads hand to an event loop.
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <heddle/base/job.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/process/descriptor.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// A chain of jobs in the order they came.
class job_chain {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  void push(job* j) noexcept {
    j->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = j;
    last_ = j;
  }

  // Takes the other chain's jobs and leaves it empty.
  void append(job_chain& other) noexcept {
    if (other.empty()) return;
    (first_ == nullptr ? first_ : last_->next) = other.first_;
    last_ = other.last_;
    other.first_ = nullptr;
  }

  // Gives every job of the chain the verb. The chain is empty before the first one runs.
  void give(verb v) noexcept {
    job* j = std::exchange(first_, nullptr);
    while (j != nullptr) {
      job* const next = j->next;
      j->run(j, v);
      j = next;
    }
  }

 private:
  job* first_ = nullptr;
  job* last_ = nullptr;
};

// A first-in first-out queue with a descriptor that is readable when there is something to see.
// The descriptor is written while the mutex is held: a job may destroy the loop (through another
// thread) as soon as it runs, and then its poster must be done with the loop's memory.
class inbox {
 public:
  inbox() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "event_loop: eventfd");
  }
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;

  int descriptor() const noexcept { return wake_.get(); }

  void post(job* j) noexcept {
    const prim::scoped_lock lock(mutex_);
    if (stopped_) return late_.push(j);
    if (ready_.empty()) signal();
    ready_.push(j);
  }

  void stop() noexcept {
    const prim::scoped_lock lock(mutex_);
    stopped_ = true;
    signal();
  }

  void restart() noexcept {
    const prim::scoped_lock lock(mutex_);
    stopped_ = false;
    ready_.append(late_);
    if (!ready_.empty()) signal();
  }

  bool stopped() noexcept {
    const prim::scoped_lock lock(mutex_);
    return stopped_;
  }

  // Takes what is to be run, and says whether stop() has been called.
  std::pair<job_chain, bool> take() noexcept {
    const prim::scoped_lock lock(mutex_);
    return {std::exchange(ready_, job_chain()), stopped_};
  }

  job_chain take_all() noexcept {
    const prim::scoped_lock lock(mutex_);
    job_chain all = std::exchange(ready_, job_chain());
    all.append(late_);
    return all;
  }

  // Makes the descriptor unreadable. What was posted before is seen by the next take().
  void clear() noexcept {
    std::uint64_t count;
    [[maybe_unused]] const auto n = ::read(wake_.get(), &count, sizeof count);
  }

 private:
  void signal() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
  }

  unique_descriptor wake_;
  prim::mutex mutex_;
  job_chain ready_ HEDDLE_GUARDED_BY(mutex_);
  job_chain late_ HEDDLE_GUARDED_BY(mutex_);
  bool stopped_ HEDDLE_GUARDED_BY(mutex_) = false;
};

}  // namespace heddle::inline HEDDLE_ABI::process
