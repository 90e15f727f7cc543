#include "orphans.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

namespace heddle::tool {

void adopt_orphans() noexcept { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

namespace detail {

pid_t ended_child() noexcept {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}

void reap(pid_t child) noexcept { ::waitpid(child, nullptr, WNOHANG); }

}  // namespace detail

}  // namespace heddle::tool
