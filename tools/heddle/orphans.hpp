// Processes that jobs leave behind, adopted so that nothing remains of them, not even a zombie.
#pragma once

#include <sys/types.h>

namespace heddle::tool {

// From now on, descendants whose parent ends become our children (PR_SET_CHILD_SUBREAPER) instead
// of those of init, which not every container has.
void adopt_orphans() noexcept;

namespace detail {
// A child that has ended and was not reaped yet; 0 when there is none.
pid_t ended_child() noexcept;
void reap(pid_t child) noexcept;
}  // namespace detail

// Reaps the adopted ones that have ended. Children for which `is_job(pid)` holds are left to those
// who wait for them; an orphan behind such a one is found when that one has been reaped.
void bury_orphans(auto&& is_job) {
  for (pid_t ended; (ended = detail::ended_child()) != 0 && !is_job(ended);) detail::reap(ended);
}

}  // namespace heddle::tool
