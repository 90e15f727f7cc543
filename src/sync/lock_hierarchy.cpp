#include <heddle/sync/lock_hierarchy.hpp>

#include <algorithm>
#include <stdexcept>

namespace heddle::inline HEDDLE_ABI {

void held_locks::release() noexcept {
  acquired_ = false;
  for (; !locks_.empty(); locks_.pop_back()) locks_.back()->unlock();
}

struct lock_hierarchy::named_lock {
  named_lock(const lock_hierarchy* hierarchy, lock_level declared)
      : name(std::move(declared.name)), lock(hierarchy, declared.level, declared.recursive, name) {}

  const std::string name;
  detail::ordered_mutex lock;
};

lock_hierarchy::lock_hierarchy(std::vector<lock_level> levels) {
  std::sort(levels.begin(), levels.end(),
            [](const lock_level& a, const lock_level& b) { return a.name < b.name; });
  for (lock_level& l : levels) {
    if (l.name.empty()) throw std::invalid_argument("lock_hierarchy: a lock has an empty name");
    if (!locks_.empty() && locks_.back()->name == l.name) {
      throw std::invalid_argument("lock_hierarchy: \"" + l.name + "\" is declared twice");
    }
    locks_.push_back(std::make_unique<named_lock>(this, std::move(l)));
  }
}

lock_hierarchy::~lock_hierarchy() = default;

lock_hierarchy::named_lock& lock_hierarchy::find(std::string_view name) const {
  const auto at = std::lower_bound(
      locks_.begin(), locks_.end(), name,
      [](const std::unique_ptr<named_lock>& l, std::string_view n) { return l->name < n; });
  if (at != locks_.end() && (*at)->name == name) return **at;
  std::string message = "lock_hierarchy: there is no \"" + std::string(name) + "\" among";
  for (const auto& l : locks_) message += " \"" + l->name + "\"";
  throw std::invalid_argument(message);
}

held_locks lock_hierarchy::try_acquire_until(names wanted, prim::time_point deadline,
                                             std::source_location where) {
  std::vector<detail::ordered_mutex*> locks;
  locks.reserve(wanted.size());
  for (const std::string_view name : wanted) locks.push_back(&find(name).lock);
  // By address first, so that everybody takes those of one level in the same order.
  std::sort(locks.begin(), locks.end());
  held_locks held;
  if (!detail::ordered_mutex::lock_all(locks, deadline, where)) return held;
  held.locks_ = std::move(locks);
  held.acquired_ = true;
  return held;
}

void lock_hierarchy::record(lock_recording what) {
  for (const auto& l : locks_) l->lock.inner().record(what);
}

lock_statistics lock_hierarchy::statistics(std::string_view name) const {
  return find(name).lock.inner().statistics();
}

}  // namespace heddle::inline HEDDLE_ABI
