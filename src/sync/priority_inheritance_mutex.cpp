#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/priority_inheritance_mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

// Without spinning: a thread that spins does not lend its priority.
bool priority_inheritance_mutex::lock_slow(prim::time_point deadline) {
  if (deadline != prim::never && prim::clock::now() >= deadline) return false;
  wait_record record{.kind = wait_kind::mutex, .object = this, .name = name()};
  record.owner = [](const void* object) noexcept {
    return static_cast<const priority_inheritance_mutex*>(object)->owner();
  };
  record.probe = &probe_;
  record.deadline = deadline;
  const blocking_region region(record);
  return lock_.lock_until(deadline);
}

// These are not inlined, and their callers are: what they return to is the code that wanted the
// lock.

[[gnu::noinline]] bool priority_inheritance_mutex::lock_observed(prim::time_point deadline) {
  const void* const site = __builtin_return_address(0);
  if (lock_.try_lock()) {
    probe_.acquired(site);
    return true;
  }
  if (deadline == prim::never && lock_probe::checked() && probe_.owned_by_this_thread()) {
    probe_.misused("waiting without end for", wait_kind::mutex, this);
  }
  lock_wait wait(probe_, wait_kind::mutex, this);
  if (!lock_slow(deadline)) return false;
  wait.acquired(site);
  return true;
}

[[gnu::noinline]] bool priority_inheritance_mutex::try_lock_observed() noexcept {
  if (!lock_.try_lock()) return false;
  probe_.acquired(__builtin_return_address(0));
  return true;
}

void priority_inheritance_mutex::unlock_observed() noexcept {
  if (lock_probe::checked()) {
    const bool by_another = probe_.owner() != 0 && !probe_.owned_by_this_thread();
    if (!lock_.is_locked() || by_another) probe_.misused("unlock of", wait_kind::mutex, this);
  }
  probe_.released();
  lock_.unlock();
}

}  // namespace heddle::inline HEDDLE_ABI
