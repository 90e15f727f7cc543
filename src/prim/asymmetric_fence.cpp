#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include <heddle/prim/asymmetric_fence.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {
constinit atomic<bool> kernel_fences{false};
}

namespace {

// The error; 0: none. Callers' errno stays what it was.
int ask_kernel(int command) noexcept {
  const int before = errno;
  const int error = syscall(SYS_membarrier, command, 0, 0) == 0 ? 0 : errno;
  errno = before;
  return error;
}

// A process must say in advance that it means to fence its threads. While it has one thread that
// costs nothing; later it waits for all CPUs to pass through the scheduler.
bool register_process() noexcept {
  return ask_kernel(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
         ask_kernel(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

// Ahead of every other initialization of the program: were the flag raised after threads have
// relied on full fences, a thread that has read the old value could meet one that has read the new.
[[gnu::constructor(101)]] void choose_fences() noexcept {
  detail::kernel_fences.store(register_process(), relaxed);
}

// Nanoseconds of the steady clock, 0: never.
constinit atomic<std::chrono::nanoseconds::rep> forbidden_since{0};

std::chrono::nanoseconds::rep now() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Other threads may go on for a moment without the fences that they owe.
bool all_threads_know() noexcept {
  const auto since = forbidden_since.load(relaxed);
  return since == 0 || now() - since > std::chrono::nanoseconds(std::chrono::seconds(1)).count();
}

}  // namespace

bool heavy_fence() noexcept {
  if (detail::kernel_fences.load(acquire)) {
    const int error = ask_kernel(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if (error == 0) return true;
    if (error == ENOMEM) return false;
    if (error == EPERM && register_process()) return true;
    decltype(forbidden_since)::value_type never = 0;
    forbidden_since.compare_exchange_strong(never, now(), relaxed, relaxed);
    detail::kernel_fences.store(false, release);
    return false;
  }
  fence(seq_cst);
  return all_threads_know();
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
