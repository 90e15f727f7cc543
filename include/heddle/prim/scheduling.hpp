// Where the calling thread runs, and how urgently.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// The kernel's scheduling policies, with its numbers; see sched(7).
enum class thread_policy : unsigned char {
  normal = 0,
  fifo = 1,         // real time: before all normal threads, until it waits or yields
  round_robin = 2,  // the same, with turns among those of one level
  batch = 3,        // normal, but taken for work that nobody waits for
  idle = 5,         // only what nobody else wants
};

struct thread_priority {
  thread_policy policy = thread_policy::normal;
  int nice = 0;   // -20, the most urgent, to 19; with normal and batch
  int level = 0;  // 1 to 99, the most urgent; with fifo and round_robin

  // "normal", "batch, nice 10", "fifo, level 20".
  HEDDLE_API std::string describe() const;

  friend bool operator==(const thread_priority&, const thread_priority&) = default;
};

// Throws std::invalid_argument for a policy that is not above, for a nice or level out of range,
// and for one that does not go with the policy.
HEDDLE_API void check_priority(const thread_priority& priority);

// Binds the calling thread, and the threads it will create, to these CPUs; those among them that
// its cpuset forbids or that are offline do not count. In a model: nothing.
// Throws std::invalid_argument for no CPU and for a number that no CPU can have; std::system_error,
// naming sched_setaffinity, when no CPU is left (EINVAL) or a sandbox forbids the call.
HEDDLE_API void bind_this_thread(std::span<const int> cpus);
HEDDLE_API void bind_this_thread(int cpu);

// The CPUs the calling thread may run on, in rising order. In a model: CPU 0.
// Throws std::system_error naming sched_getaffinity.
HEDDLE_API std::vector<int> this_thread_affinity();

// Applies to the calling thread and the threads it will create, all or nothing. In a model: only
// the check.
// Without privilege a thread may become less urgent: more nice, batch, idle. To become more urgent
// again, to leave idle, and for fifo and round_robin it needs CAP_SYS_NICE, or RLIMIT_NICE or
// RLIMIT_RTPRIO that allow it. A real-time thread that spins can hang a machine.
// Throws what check_priority() throws; std::system_error naming sched_setattr: EPERM without the
// privilege, ENOSYS or EPERM in a sandbox without the call.
HEDDLE_API void set_this_thread_priority(const thread_priority& priority);

// `policy` may be a number that is not above, when somebody else gave the thread a policy that
// Heddle does not. In a model: normal.
// Throws std::system_error naming sched_getattr.
HEDDLE_API thread_priority this_thread_priority();

}  // namespace heddle::inline HEDDLE_ABI::prim
