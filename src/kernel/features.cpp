#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <heddle/kernel/features.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/tree.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

bool has_pidfd() {
  const long fd = ::syscall(SYS_pidfd_open, ::getpid(), 0);
  if (fd < 0) return false;
  ::close(static_cast<int>(fd));
  return true;
}

bool has_membarrier() {
  const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands >= 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
}

}  // namespace

features read_features() {
  const tree machine;
  features f;
  f.pidfd = has_pidfd();
  f.membarrier = has_membarrier();
  f.psi = machine.read("proc/pressure/cpu").has_value();  // the file may be there and not readable
  f.schedstat = read_own_schedstat(machine).has_value();
  return f;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
