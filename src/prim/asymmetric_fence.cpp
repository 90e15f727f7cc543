#include <heddle/prim/asymmetric_fence.hpp>

#if !HEDDLE_MODEL
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace heddle::inline HEDDLE_ABI::prim {

#if HEDDLE_MODEL

bool heavy_fence() noexcept {
  fence(seq_cst);
  return true;
}

#else

namespace {

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

// A process must say once that it will use the call. While it has one thread this takes a
// microsecond, later some twenty milliseconds; so it is said when the library is loaded.
[[maybe_unused]] const bool announced = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);

}  // namespace

// Announces once more where the kernel knows of nothing: before the initialization above, say.
bool heavy_fence() noexcept {
  const int error = errno;
  const bool done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
                    (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
                     membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
  errno = error;
  return done;
}

#endif

}  // namespace heddle::inline HEDDLE_ABI::prim
