// What the templates of thread_pool call. Users need thread_pool.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/exec/pool_report.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

class pool_core;

// What became of jobs that were handed in. Those that were not accepted have been discarded.
enum class submission { accepted, ran_in_caller, closed, full };

class worker;

// A task that does the work of several, each of which the pool counts.
class HEDDLE_API bulk_visit {
 public:
  explicit bulk_visit(executor_ref pool) noexcept;
  ~bulk_visit();
  bulk_visit(const bulk_visit&) = delete;
  bulk_visit& operator=(const bulk_visit&) = delete;

  void count_task() noexcept { ++tasks_; }
  std::uint64_t tasks() const noexcept { return tasks_; }
  // False when it has been long, or the worker is wanted elsewhere.
  bool goes_on() const noexcept;

 private:
  static constexpr std::uint64_t longest = 64;

  pool_core* core_;
  worker* worker_;
  std::uint64_t tasks_ = 0;
};

// The one owner of a pool's core.
class HEDDLE_API pool_ref {
 public:
  explicit pool_ref(thread_pool_options options);
  ~pool_ref();
  pool_ref(const pool_ref&) = delete;
  pool_ref& operator=(const pool_ref&) = delete;

  // Accepts the jobs from `first` to `last`, linked through next, in that order and in one step, or
  // none of them. Throws, in a child's first use, as the constructor; then they are discarded.
  submission submit(job* first, job* last, std::size_t count);
  // To one worker, who alone may run it. Throws std::invalid_argument before anything else.
  void check_worker(unsigned number) const;
  submission submit_to(unsigned number, job* j);

  executor_ref executor() const noexcept;
  // The same pool, as the home of work that waiters may not help with.
  executor_ref executor_of_placed() const noexcept;
  prim::stop_token stop_token() const;

  unsigned size() const noexcept;
  unsigned index_limit() const noexcept;
  std::optional<unsigned> worker_index() const noexcept;
  const std::string& name() const noexcept;
  bool in_order() const noexcept;  // scheduling::fifo
  bool unused_after_fork() const noexcept;
  pool_statistics statistics() const;
  pool_report report() const;
  std::vector<sizing::logged_choice> sizing_log() const;
  void set_sizing(bool on);
  bool sizing_is_on() const noexcept;
  bool wait_idle(prim::time_point deadline);
  shutdown_report shutdown(shutdown_mode mode, prim::time_point deadline);

 private:
  pool_core& known() const noexcept;

  pool_core* core_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
