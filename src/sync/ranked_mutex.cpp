#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/ranked_mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

lock_order_error::~lock_order_error() = default;

namespace detail {
namespace {

// What the calling thread holds, the newest first.
ordered_mutex* newest_held() noexcept {
  return static_cast<ordered_mutex*>(prim::thread_value(prim::thread_slot::held_locks));
}
void set_newest_held(ordered_mutex* m) noexcept {
  prim::thread_value(prim::thread_slot::held_locks) = m;
}

std::string text(const std::source_location& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

}  // namespace

std::string ordered_mutex::description() const {
  const char* const name = mutex_.name();
  std::string d = "a mutex";
  if (name != nullptr) d.assign(1, '"').append(name).append(1, '"');
  return d.append(" (level ").append(std::to_string(level_)).append(")");
}

void ordered_mutex::refuse(const char* why, const ordered_mutex& held, const place& where) const {
  throw lock_order_error(description() + " is wanted at " + text(where) + ", but " +
                         held.description() + ", taken at " + text(held.taken_at_) + ", " + why);
}

bool ordered_mutex::held_by_this_thread() const noexcept {
  for (const ordered_mutex* m = newest_held(); m != nullptr; m = m->next_held_) {
    if (m == this) return true;
  }
  return false;
}

void ordered_mutex::check_not_held(const place& where) const {
  if (!recursive_ && held_by_this_thread()) refuse("is held by this thread already", *this, where);
}

void ordered_mutex::check_turn(const place& where) const {
  check_not_held(where);
  if (held_by_this_thread()) return;
  for (const ordered_mutex* m = newest_held(); m != nullptr; m = m->next_held_) {
    if (m->order_ == order_ && m->level_ >= level_) {
      refuse("is held: a thread waits only for levels above those it holds", *m, where);
    }
  }
}

bool ordered_mutex::lock_until(prim::time_point deadline, const place& where) {
  check_turn(where);
  return acquire(deadline, where);
}

bool ordered_mutex::try_lock(const place& where) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  check_not_held(where);
  if (!held_by_this_thread() && !mutex_.try_lock()) return false;
  enlist(where);
  return true;
}

// The wait itself; the order has been checked.
bool ordered_mutex::acquire(prim::time_point deadline,
                            const place& where) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  if (!held_by_this_thread()) {
    if (deadline == prim::never) {
      mutex_.lock();
    } else if (!mutex_.try_lock_until(deadline)) {
      return false;
    }
  }
  enlist(where);
  return true;
}

void ordered_mutex::enlist(const place& where) noexcept {
  if (++depth_ > 1) return;
  taken_at_ = where;
  next_held_ = newest_held();
  set_newest_held(this);
}

void ordered_mutex::unlock() noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  if (--depth_ > 0) return;
  ordered_mutex* m = newest_held();
  if (m == this) {
    set_newest_held(next_held_);
  } else {
    while (m != nullptr && m->next_held_ != this) m = m->next_held_;
    if (m != nullptr) m->next_held_ = next_held_;
  }
  mutex_.unlock();
}

bool ordered_mutex::lock_all(std::span<ordered_mutex*> wanted, prim::time_point deadline,
                             const place& where) {
  // An insertion sort: stable, and the sets are small.
  for (auto at = wanted.begin(); at != wanted.end(); ++at) {
    const auto to = std::upper_bound(
        wanted.begin(), at, *at,
        [](const ordered_mutex* a, const ordered_mutex* b) { return a->level_ < b->level_; });
    std::rotate(to, at, at + 1);
  }
  for (auto at = wanted.begin(); at != wanted.end(); ++at) {
    (*at)->check_turn(where);
    if (!(*at)->recursive_ && std::find(wanted.begin(), at, *at) != at) {
      throw lock_order_error((*at)->description() + " is wanted twice at " + text(where));
    }
  }
  struct rollback {
    std::span<ordered_mutex*> wanted;
    std::size_t acquired = 0;
    ~rollback() {
      while (acquired > 0) wanted[--acquired]->unlock();
    }
  } until_all{wanted};
  for (ordered_mutex* const m : wanted) {
    if (!m->acquire(deadline, where)) return false;
    ++until_all.acquired;
  }
  until_all.acquired = 0;
  return true;
}

}  // namespace detail
}  // namespace heddle::inline HEDDLE_ABI
