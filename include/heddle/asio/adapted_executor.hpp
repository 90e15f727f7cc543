// An executor of Asio's as one of Heddle's.
#pragma once

#include <type_traits>
#include <utility>

#include <boost/asio/execution.hpp>
#include <boost/asio/require.hpp>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::asio {

// Lends an executor_ref that posts to an executor of Asio's, so that futures continue, strands run,
// timers fire and tasks are submitted where an io_context runs, or on whatever it stands for:
//
//   heddle::asio::adapted_executor main_loop(io.get_executor());
//   future.then(main_loop, show);
//
// Jobs that Asio destroys without running them, and those for which it has no memory, are
// discarded: their futures are cancelled.
// Waiting: as on any executor that is no pool, a job must not wait for what its own thread has
// still to run.
// Requires: it outlives every use of its executor(), but not the jobs that were posted.
// Thread-safety: every member from any thread.
template <class Executor>
class adapted_executor {
 public:
  explicit adapted_executor(const Executor& where)
      : where_(boost::asio::require(where, boost::asio::execution::blocking.never)) {}
  adapted_executor(const adapted_executor&) = delete;
  adapted_executor& operator=(const adapted_executor&) = delete;

  executor_ref executor() noexcept { return {this, &post}; }

 private:
  // Gives the job its verb exactly once.
  class carried_job {
   public:
    explicit carried_job(job* j) noexcept : job_(j) {}
    carried_job(carried_job&& other) noexcept : job_(std::exchange(other.job_, nullptr)) {}
    carried_job& operator=(carried_job&&) = delete;
    ~carried_job() {
      if (job_ != nullptr) job_->run(job_, verb::discard);
    }

    void operator()() noexcept {
      job* const j = std::exchange(job_, nullptr);
      j->run(j, verb::run);
    }

   private:
    job* job_;
  };

  static void post(void* self, job* j) noexcept {
    carried_job carried(j);
    try {
      boost::asio::execution::execute(static_cast<adapted_executor*>(self)->where_,
                                      std::move(carried));
    } catch (...) {
      // Whoever had the job by then has discarded it.
    }
  }

  using never_blocking = std::decay_t<decltype(boost::asio::require(
      std::declval<const Executor&>(), boost::asio::execution::blocking.never))>;

  const never_blocking where_;
};

}  // namespace heddle::inline HEDDLE_ABI::asio
