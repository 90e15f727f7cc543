// The pool without its templates. Protocols: docs/protocols/pool_sleep.md (who sleeps, who is
// woken, who stands in) and docs/protocols/pool_shutdown.md.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/exec/pool_ref.hpp>
#include <heddle/kernel/affinity.hpp>
#include <heddle/lockfree/ws_deque.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/event_count.hpp>

#include "injection.hpp"
#include "sleep_state.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

class pool_sizer;
class worker;

// Posts to the pool_core at `self`; as part of an executor_ref it marks work that waiters may help
// with.
void pool_executor_post(void* self, job* j) noexcept;
// Null where the executor is no pool's.
pool_core* core_behind(executor_ref where) noexcept;

// The right to run tasks: N of them, whatever the number of threads. Its deque, tick and owned
// counters are used by the thread that holds it; holding passes from thread to thread under the
// pool's sleep mutex.
struct slot {
  explicit slot(unsigned n) : number(n), random(prim::next_seed()) {}

  // Unstarted: not in use, because the limit is below it or because it never was in use.
  enum class place { unstarted, held, idle };

  const unsigned number;
  ws_deque<job*> deque;
  job_queue inbox;  // jobs that were placed here and may not be stolen
  prim::random random;
  unsigned tick = 0;  // tasks looked for

  // When to look at the core count again: see follow_core_count.
  unsigned looked_at = 0;
  unsigned look_stride = 1;
  prim::time_point looked{};

  owned_counter submitted, started, completed, steal_attempts, steals;

  shared_counter robbed;                    // thefts from this slot
  prim::atomic<bool> lately_robbed{false};  // since a thief last passed by

  // Under the sleep mutex. An idle slot without a holder belongs to a thread that waits, or to none
  // yet: it is woken by giving it a spare.
  worker* holder = nullptr;
  place where = place::unstarted;
  slot* below = nullptr;  // in a stack of idle slots
};

// The queue of a priority other than normal.
struct lane {
  job_queue queue;
  prim::atomic<std::size_t> tombstones{0};  // since the last sweep
  shared_counter completed, bulk_tasks;
};

// How job::level counts: priorities from 1, and 0 for jobs of which nothing was said. A level that
// was inherited is marked, so that a job that is posted again inherits anew.
inline constexpr unsigned normal_level = static_cast<unsigned>(priority::normal) + 1;
inline constexpr unsigned inherited_level = 0x80;

// On the stack of a thread that runs a pool's task in its own stead: when_full::run_in_caller.
struct caller_frame {
  const pool_core* core;
  unsigned depth;
};

// The sleep mutex. In an adaptive pool it is a time sheet, too: whoever takes it first books how
// many workers were busy since it was last held, for the numbers change only under it.
class HEDDLE_CAPABILITY("mutex") booking_mutex {
 public:
  explicit booking_mutex(pool_core& core) noexcept : core_(core) {}

  template <class... Where>
  void lock(Where... where) HEDDLE_ACQUIRE() HEDDLE_NO_THREAD_SAFETY_ANALYSIS;
  template <class... Where>
  void unlock(Where... where) HEDDLE_RELEASE() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.unlock(where...);
  }

 private:
  pool_core& core_;
  prim::mutex mutex_;
};

class pool_core {
 public:
  explicit pool_core(thread_pool_options&& options);
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;

  void release() noexcept;
  void retain() noexcept { references_.fetch_add(1, prim::relaxed); }
  // A worker's thread has a reference of its own.
  bool is_held_by_this_thread() const noexcept {
    return worker_among(prim::thread_values()) != nullptr;
  }

  // The core that serves this process: this one, or, in a process forked off since it was made, a
  // fresh one in its place, with the same options. Throws as the constructor.
  pool_core& current() { return is_of_this_process() ? *this : successor(); }
  // The same, but null instead of a fresh one.
  pool_core* current_if_made() noexcept;
  // For shutdown: false when there is one; else there will be none, in this process or its
  // children.
  bool close_unused() noexcept;
  // In a child that no longer wants it. Its threads are elsewhere, and so is whatever they did.
  void abandon() noexcept;

  // All of the chain is accepted, or it is discarded: from outside after the pool was closed, or
  // when there is no room for it.
  submission submit(const job_chain& chain) noexcept;
  submission submit_to(unsigned number, job* j) noexcept;
  // The same without a bound: for what was accepted elsewhere, such as continuations.
  bool enqueue(const job_chain& chain) noexcept;

  void count_bulk_tasks(std::uint64_t count) noexcept;
  worker* visitor() const noexcept { return this_worker(); }
  bool bulk_goes_on(const worker& w) const noexcept;
  void call_on_worker(worker& w, fork_call call, void* context);
  bool in_order() const noexcept { return fifo_; }
  bool is_of_this_process() const noexcept { return generation_ == prim::fork_generation(); }

  unsigned size() const noexcept { return limit_.load(prim::relaxed); }
  // But for those that stand in for the only worker while it blocks.
  bool has_one_worker() const noexcept { return most_slots_ == 1; }
  unsigned index_limit() const noexcept;
  std::optional<unsigned> worker_index() const noexcept;
  const std::string& name() const noexcept { return options_.name; }
  prim::stop_token stop_token() const noexcept { return stop_.get_token(); }
  pool_statistics statistics();
  pool_report full_report();
  std::vector<sizing::logged_choice> sizing_log() const;
  void set_sizing(bool on) noexcept;
  bool sizing_is_on() const noexcept;

  bool wait_idle(prim::time_point deadline);
  shutdown_report shutdown(shutdown_mode mode, prim::time_point deadline);
  void destroy() noexcept;

 private:
  friend class booking_mutex;
  friend class pool_sizer;
  friend class worker;
  struct timed_job;

  pool_core& successor();

  ~pool_core();

  // pool_core.cpp: how tasks come in
  [[gnu::noinline]] void push_local(slot& s, const job_chain& chain) noexcept;
  submission place(const job_chain& chain) noexcept;
  submission put(const job_chain& chain) noexcept;
  unsigned level_of(job& first, const worker* w) const noexcept;
  bool inside_task(void* const* thread_values) const noexcept;
  [[gnu::noinline]] void discard_chain(const job_chain& chain) noexcept;
  job_chain with_times(const job_chain& chain) noexcept;
  static bool is_tombstone(const job* j) noexcept;
  worker* this_worker() const noexcept;
  worker* worker_among(void* const* thread_values) const noexcept;

  // pool_search.cpp: the search for tasks, and what becomes of those that are found
  void run(worker& w) noexcept;
  [[noreturn]] void end_forked_task() noexcept;
  job* next_job(worker& w) noexcept;
  job* own_job(slot& s) noexcept;
  job* injected_job(slot& s, bool& busy) noexcept;
  job* richest_victims_job(slot& s, bool& again) noexcept;
  std::uint64_t carry_off(slot& s, slot& victim) noexcept;
  void keep(slot& s, std::span<job* const> jobs) noexcept;
  bool rob(slot& s, slot& victim, job*& j, bool& again) noexcept;
  job* stolen_job(worker& w) noexcept;
  job* awaited_job(worker& w) noexcept;
  void execute(worker& w, job* j) noexcept;
  void count_completed(unsigned level) noexcept;
  void bury_tombstones(worker& w, unsigned level) noexcept;
  static bool too_many(prim::atomic<std::size_t>& tombstones, std::size_t queued) noexcept;
  void run_tombstones(worker& w, const job_chain& swept) noexcept;
  void give_away_deque(slot& s) noexcept;
  void give_away_inbox(slot& s) noexcept;
  bool any_work() noexcept;
  bool any_job() const noexcept;
  std::size_t queued_jobs() const noexcept;  // pool_report.cpp

  // pool_admission.cpp: priorities, and the bound of the queue
  [[gnu::noinline]] bool push_to_lane(unsigned level, const job_chain& chain,
                                      job_queue::origin from) noexcept;
  job* urgent_job(const slot& s) noexcept;
  job* any_lane_job() noexcept;
  job* from_lane(job* j) noexcept;
  bool lanes_in_use() const noexcept { return lane_jobs_.load(prim::relaxed) != 0; }
  bool any_lane_filled() const noexcept;
  std::uint32_t stamp_now() const noexcept;
  submission admit(const job_chain& chain) noexcept;
  bool drop_oldest() noexcept;
  static void mark_droppable(const job_chain& chain, bool droppable) noexcept;
  static bool is_droppable(const job* j) noexcept { return j->droppable; }
  void run_in_caller(const job_chain& chain) noexcept;
  void enter_queue(std::size_t count) noexcept;
  void count_excess(std::size_t before, std::size_t count) noexcept;
  void leave_queue(std::size_t count) noexcept;

  // pool_sleep.cpp: sleeping, waking, standing in. notify() is called after work has become
  // visible.
  void notify() noexcept {
    prim::fence(prim::seq_cst);
    if (state_.needs_wake()) wake_one();
  }
  void wake_one() noexcept;
  void wake_slot(slot& s) noexcept;
  void end_search(worker& w) noexcept;
  void sleep(worker& w) noexcept;
  bool wait_as_spare(worker& w) noexcept;
  bool spare_leaves(worker& w) noexcept;
  void enter_wait(worker& w);
  void leave_wait(worker& w) noexcept;
  bool is_at_rest(bool is_quiet) noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void book_busy_time() noexcept HEDDLE_REQUIRES(sleep_mutex_);
  unsigned active_threads() const noexcept HEDDLE_REQUIRES(sleep_mutex_);
  unsigned unserved_slots() const noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void rouse_sizer() noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void push_idle(slot& s) noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void remove_idle(slot& s) noexcept HEDDLE_REQUIRES(sleep_mutex_);
  worker* take_spare() noexcept HEDDLE_REQUIRES(sleep_mutex_);
  worker* adopter_for(slot& s) noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void retire_slot(worker& w) noexcept HEDDLE_REQUIRES(sleep_mutex_);
  void lower_reach() noexcept HEDDLE_REQUIRES(sleep_mutex_);
  bool thread_to_be_had() const noexcept HEDDLE_REQUIRES(sleep_mutex_);
  unsigned most_threads() const noexcept;
  bool spare_available() noexcept;
  void look_again() noexcept;
  double cores_now() const noexcept;
  unsigned whole_cores_now() const noexcept;
  void follow_core_count(slot& s, bool after_sleep) noexcept;
  bool set_limit(unsigned limit) noexcept;
  bool man_slots(std::size_t count) noexcept;

  // Slots are made in the order of their numbers, and stay.
  void make_slots(unsigned count);
  std::span<const std::unique_ptr<slot>> slots() const noexcept {
    return {slot_table_.get(), slots_made_.load(prim::acquire)};
  }
  // Those that may have a thread or jobs.
  std::span<const std::unique_ptr<slot>> slots_in_use() const noexcept {
    return {slot_table_.get(), reach_.load(prim::acquire)};
  }

  // pool_forks.cpp: children that are on the stacks of others
  friend class fork_lane;
  job* stolen_child(worker& w, bool& again) noexcept;
  bool any_child() noexcept;
  bool seems_to_have_children() const noexcept;
  fork_lane* lane_of(worker& w) noexcept;
  std::uint64_t visits_begun() const noexcept;
  std::uint64_t visits_ended() const noexcept;
  bool call_on_other_stack(worker& w, fork_call call, void* context);
  [[noreturn]] void refuse_for_want_of_stack(const char* operation) const;
  void destroy_lanes() noexcept;

  // pool_threads.cpp: threads come and go
  void start_worker(slot& s, bool searching);
  bool try_start_worker(slot& s) noexcept;
  void left(worker& w) noexcept;
  void join_left_threads() noexcept;

  // pool_shutdown.cpp: the end of all tasks, and of the pool
  std::uint64_t in_flight() const noexcept;
  void check_quiet() noexcept;
  void discard_queued() noexcept;
  void discard(job* j) noexcept;
  void stop_workers() noexcept;
  bool wait_until_stopped(prim::time_point deadline);
  shutdown_report report(bool completed) noexcept;
  void tell_stuck() noexcept;
  void drain_for_destruction();

  thread_pool_options options_;
  const unsigned generation_;  // of the process: see prim/fork.hpp
  prim::atomic<pool_core*> successor_{nullptr};
  pool_core* next_abandoned_ = nullptr;
  const bool fifo_;
  const bool follows_cores_;
  const std::chrono::nanoseconds spin_;
  const bool bounded_;
  unsigned most_slots_ = 0;
  std::unique_ptr<std::unique_ptr<slot>[]> slot_table_;
  prim::atomic<unsigned> slots_made_{0};
  prim::atomic<unsigned> reach_{0};  // slots from here on are unstarted; set under the sleep mutex
  std::vector<int> cpus_;            // of the slots; empty when they are bound to none
  std::vector<int> allowed_;         // to who made the pool; empty when they are bound to none
  kernel::steal_rings rings_{1};

  alignas(destructive_interference) sleep_state state_;
  alignas(destructive_interference) injection injected_;
  lane lanes_[priority_levels];  // those of normal priority go elsewhere
  // Jobs in all lanes, or on their way in or out: never too few.
  prim::atomic<std::size_t> lane_jobs_{0};
  const prim::time_point born_ = prim::clock::now();

  alignas(destructive_interference) prim::atomic<std::size_t> queued_{0};  // of a bounded pool
  event_count room_;
  prim::atomic<bool> closing_{false};
  shared_counter misplaced_, over_capacity_, refused_, ran_in_caller_, dropped_;

  // Of tasks that run on a thread without a slot.
  shared_counter submitted_, started_, completed_;
  shared_counter discarded_, helped_, blocked_, starved_, wakeups_, refused_threads_;
  prim::atomic<std::size_t> injected_tombstones_{0};  // since the last sweep

  prim::atomic<bool> fail_when_starved_{false};
  prim::atomic<bool> cancelling_{false};
  prim::atomic<bool> stopping_{false};  // set under the sleep mutex
  prim::atomic<unsigned> limit_{0};     // slots that may run tasks; set under the sleep mutex
  prim::stop_source stop_;

  // The pool, each thread, each task and strand that goes on here, and who posts from elsewhere;
  // in a child that has it as a successor, the core before it.
  alignas(destructive_interference) prim::atomic<std::size_t> references_{1};

  alignas(destructive_interference) std::unique_ptr<pool_sizer> sizer_;  // of an adaptive pool
  booking_mutex sleep_mutex_{*this};
  // Idle slots; the last one to sleep is woken first, and one with a thread before one without.
  slot* idle_ HEDDLE_GUARDED_BY(sleep_mutex_) = nullptr;
  slot* orphans_ HEDDLE_GUARDED_BY(sleep_mutex_) = nullptr;  // without a holder
  unsigned orphan_count_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;
  worker* spares_ HEDDLE_GUARDED_BY(sleep_mutex_) = nullptr;  // threads without a slot, asleep
  unsigned spare_count_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;
  unsigned threads_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;
  unsigned leaving_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;  // spares among them on their way out
  unsigned waiting_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;  // whose slots are given away
  unsigned peak_threads_ HEDDLE_GUARDED_BY(sleep_mutex_) = 0;

  // One for each thread that has forked, or run what others forked; they stay.
  prim::atomic<fork_lane*> lanes_of_threads_{nullptr};
  prim::atomic<unsigned> open_lanes_{0};

  prim::mutex threads_mutex_;
  std::vector<std::unique_ptr<worker>> workers_ HEDDLE_GUARDED_BY(threads_mutex_);
  std::vector<bool> indexes_ HEDDLE_GUARDED_BY(threads_mutex_);
  unsigned joining_ HEDDLE_GUARDED_BY(threads_mutex_) = 0;  // joins under way
  bool no_more_threads_ HEDDLE_GUARDED_BY(threads_mutex_) = false;
  bool inboxes_closed_ HEDDLE_GUARDED_BY(threads_mutex_) = false;
  task_times times_ HEDDLE_GUARDED_BY(threads_mutex_);

  // Waiting for the end of all tasks: see check_quiet.
  event_count quiet_event_;
  prim::atomic<unsigned> quiet_waiters_{0};
  prim::atomic<std::uint64_t> quiet_moments_{0};  // when only tasks that wait for it were left
  prim::atomic<std::uint64_t> empty_moments_{0};  // when nothing at all was left
  prim::mutex quiet_mutex_;
  unsigned waiting_tasks_ HEDDLE_GUARDED_BY(quiet_mutex_) = 0;
  event_count stopped_event_;

  // Re-reading the core count while busy.
  prim::atomic<bool> reading_cores_{false};
  prim::atomic<prim::clock::rep> cores_read_at_{0};
};

// A thread of the pool: index, name, and, most of the time, a slot.
class worker final : public blocking_delegate, public task_name_sink, public prim::fork_hook {
 public:
  worker(pool_core& pool, slot* s, unsigned i) noexcept;

  void main() noexcept;
  void take_place() noexcept;
  static void forked(prim::fork_hook* self) noexcept;

  void help(executor_ref home, job* j) noexcept override;
  // Whether it may run, on top of the task that it is in, others for which that waits. Throws
  // would_starve where the stack ends and no spare worker could do it.
  bool may_run_ahead();
  bool has_no_spare() noexcept { return !core.spare_available(); }
  // Gives the job the verb `help`. False: the pool gives up what has not begun.
  bool run_ahead(job* j) noexcept;
  // Runs the job as an entry if it is the newest in the deque. It may be gone if it is not.
  bool run_if_newest(job* j) noexcept;
  bool take_if_newest(const job* j) noexcept;
  void enter(wait_record& record) override;
  void leave(wait_record& record) noexcept override;

  pool_core& core;
  const unsigned index;
  prim::thread thread;    // under the threads mutex
  bool has_left = false;  // under the threads mutex

  slot* held;            // set by the thread itself, or by its waker while it is parked
  slot* lent = nullptr;  // what it held when it began to wait
  bool searching = false;
  int bound_to = kernel::unbound;
  unsigned depth = 0;  // tasks on its stack
  prim::parker parker;
  worker* next_spare = nullptr;    // under the sleep mutex
  bool parked_as_spare = false;    // under the sleep mutex
  bool leaving = false;            // counted in leaving_; under the sleep mutex
  bool waiting = false;            // counted in waiting_; under the sleep mutex
  prim::atomic<int> kernel_id{0};  // for the sizer
  worker_mark mark;                // with the level of the task that runs: see job::level
  fork_lane* lane = nullptr;       // once it has forked, or run what others forked

  // In the place of a child that it has stolen, among the pool's jobs; it is no task.
  struct child_visit final : job {
    explicit child_visit(worker& w) noexcept : job(&run_child), of(w) {}
    static void run_child(job* j, verb v) noexcept;
    worker& of;
    fork_entry* child = nullptr;
  } visit{*this};

  prim::mutex record_mutex;
  const wait_record* waits HEDDLE_GUARDED_BY(record_mutex) = nullptr;

 private:
  void install() noexcept;
  void take_rank() noexcept;
  void uninstall() noexcept;
  void call(const hook<unsigned>& h) noexcept;
};

// Null on threads that run no task of a pool, and in a process that a task forked off.
worker* worker_in_a_task() noexcept;

template <class... Where>
void booking_mutex::lock(Where... where) {
  mutex_.lock(where...);
  if (core_.sizer_ != nullptr) [[unlikely]]
    core_.book_busy_time();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
