// What a thread pool can be told, and what it tells.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <heddle/base/hook.hpp>
#include <heddle/exec/task_options.hpp>
#include <heddle/kernel/affinity.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/scheduling.hpp>
#include <heddle/sizing/law.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class scheduling {
  work_stealing,  // a worker's own tasks newest first; thieves take the oldest
  fifo,           // one queue, left by tasks strictly in the order in which they were submitted
};

enum class shutdown_mode {
  drain,   // finish everything that was accepted
  cancel,  // discard what has not started; ask what runs to stop
};

// What a worker does that must wait when no spare worker is left to stand in for it.
enum class at_spare_cap {
  wait,  // it waits, its share of the cores lies idle, and `starved` counts it
  fail,  // the wait throws would_starve
};

// What a pool could not bring to an end.
struct stuck_task {
  unsigned worker = 0;                 // worker_index() of its thread
  std::string task;                    // its name(), or the type of its callable
  std::string waits_for;               // "a mutex", "a future", ...; empty while it computes
  std::chrono::nanoseconds waiting{};  // for so long
};

struct shutdown_report {
  bool completed = false;           // nothing is left but the caller's own task, and its like
  std::size_t queued = 0;           // tasks that have not begun
  std::vector<stuck_task> running;  // tasks that have, the caller's own left out
};

// What submitting does when as many tasks wait as the pool's queue may hold. Workers, of this pool
// or another, never wait, and never run the task in place: what they submit is accepted, and
// counted in over_capacity. So is what reaches the pool by its executor(): continuations, timers.
enum class when_full {
  block,          // waits for room
  reject,         // throws rejected
  run_in_caller,  // runs the task on the submitting thread, now; in such a task, too, 32 deep at
                  // most
  drop_oldest,    // gives up the task that waits longest, the least urgent first: it is cancelled
};

struct thread_pool_options {
  // Workers; 0 = as many as the cores that affinity and CPU quota leave, rounded up, and that
  // number is followed when it changes.
  unsigned workers = 0;

  // Lets the pool find its own size, between bounds: it watches what its tasks do with the cores,
  // and has more workers while work waits and cores lie idle, fewer while workers wait for cores.
  // Goes with workers = 0 only. A thread called name/sizer does it, which sleeps while the pool
  // has nothing to do. See docs/guide/how-the-pool-decides.md.
  std::optional<heddle::sizing::adaptive> sizing{};
  // Called on that thread after each decision but the first size, when it is in force and in the
  // log. It may use the pool, but must neither shut it down nor destroy it; meanwhile nothing is
  // decided. Its exceptions go to the unhandled handler.
  hook<const heddle::sizing::logged_choice&> on_resize{};

  scheduling schedule = scheduling::work_stealing;

  // Tasks that may wait for their turn; `overflow` tells what happens to one more. A bulk is
  // admitted as a whole as soon as there is room for one. A task that was cancelled while it waited
  // counts until its turn comes.
  static constexpr std::size_t unbounded = static_cast<std::size_t>(-1);
  std::size_t queue_capacity = unbounded;
  when_full overflow = when_full::block;

  // While there are more urgent tasks, a worker gives one turn in sixteen to tasks of normal
  // priority, and one to those of any other priority that have waited so long.
  std::chrono::milliseconds aging{100};

  // On which CPUs the workers run: see kernel::assign_cpus, which also says what is refused. A
  // spare goes where the worker was that it stands in for.
  kernel::affinity affinity{};
  // How the kernel ranks the pool's threads; refused at once where the process lacks the privilege.
  prim::thread_priority thread_priority{};

  // How long a worker that has run dry looks out for new work before it sleeps, while no other one
  // does so: what comes meanwhile begins at once, and needs no system call to wake anybody. An idle
  // pool thus burns that much once. Zero: it sleeps at once.
  std::chrono::nanoseconds spin = default_spin;
  static constexpr std::chrono::nanoseconds default_spin{prim::limits::pool_spin_ns};

  // Threads that may stand in for workers that wait: at most workers + max_spares threads exist
  // (more only for a while after the cores have become fewer).
  unsigned max_spares = 256;
  at_spare_cap when_starved = at_spare_cap::wait;
  // A spare that nobody needs leaves after so long.
  std::chrono::nanoseconds spare_keep_alive = std::chrono::seconds(1);

  // Threads are called name/index.
  std::string name = "heddle";

  // Called on each worker's thread with its index, before its first task and after its last.
  // Their exceptions go to the unhandled handler.
  hook<unsigned> on_worker_start{};
  hook<unsigned> on_worker_stop{};

  // Measures each task's time in the queue and in execution; costs an allocation and three clock
  // readings a task.
  bool measure_times = false;

  // The destructor waits without a limit for tasks that run. When it has waited so long it calls
  // on_stuck once, which by default writes the report to stderr.
  std::chrono::nanoseconds stuck_after = std::chrono::seconds(10);
  hook<const shutdown_report&> on_stuck{};

  // Where `workers = 0` looks: the cores to use now. Null: affinity and quota of this process.
  // Called by workers, one at a time; must not throw. Answers above both the first one and the
  // machine's processors are cut to the larger of these.
  unsigned (*core_count)() noexcept = nullptr;
};

struct level_statistics {
  std::uint64_t submitted = 0;
  std::uint64_t completed = 0;
  std::size_t queued = 0;
};

struct task_times {
  std::uint64_t tasks = 0;
  std::chrono::nanoseconds wait_total{}, wait_max{};
  std::chrono::nanoseconds run_total{}, run_max{};
};

// A snapshot, consistent in this sense: completed <= started <= submitted.
struct pool_statistics {
  unsigned workers = 0;  // that may run tasks at the same time
  unsigned threads = 0;  // that exist: workers, waiting ones, spares
  unsigned peak_threads = 0;
  unsigned idle = 0;  // workers asleep for want of work
  std::uint64_t submitted = 0;
  std::uint64_t started = 0;
  std::uint64_t completed = 0;  // discarded ones included
  std::uint64_t discarded = 0;  // by shutdown(cancel)
  std::uint64_t helped = 0;     // waits that ran the awaited task themselves, or tried
  std::uint64_t steal_attempts = 0;
  std::uint64_t steals = 0;           // of tasks, and of what parallel_invoke and its like forked
  std::vector<std::uint64_t> robbed;  // tasks among them, from each worker
  std::uint64_t wakeups = 0;
  std::uint64_t blocked = 0;        // waits that gave the worker's slot away
  std::uint64_t starved = 0;        // waits for which no spare was left
  std::uint64_t misplaced = 0;      // times that the kernel refused affinity or rank
  std::uint64_t over_capacity = 0;  // tasks that were accepted above queue_capacity
  std::uint64_t refused = 0;        // when_full::reject
  std::uint64_t ran_in_caller = 0;  // when_full::run_in_caller
  std::uint64_t dropped = 0;        // when_full::drop_oldest; they are among the discarded
  std::array<level_statistics, priority_levels> levels{};  // by priority
  std::size_t injected = 0;                                // tasks in the shared queues
  std::vector<std::size_t> queue_sizes;                    // tasks in each worker's deque
  std::size_t min_queue = 0;
  std::size_t max_queue = 0;
  double load_balance = 1;  // min_queue / max_queue; 1 when all are empty
  task_times times;         // zero unless measure_times

  // Of adaptive pools.
  std::uint64_t size_changes = 0;
  std::uint64_t sizing_windows = 0;       // that were looked at
  std::chrono::nanoseconds sizing_cpu{};  // what that cost
};

}  // namespace heddle::inline HEDDLE_ABI
