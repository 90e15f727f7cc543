// Who sleeps, who is woken, and who stands in for a thread that waits.
// docs/protocols/pool_sleep.md has the states, the invariant and why no wake-up is lost.

#include <algorithm>
#include <cmath>
#include <heddle/base/errors.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/prim/cells.hpp>
#include <utility>

#include "pool_core.hpp"
#include "pool_sizing.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

void pool_core::wake_one() noexcept {
  slot* s = nullptr;
  worker* w = nullptr;
  {
    const prim::scoped_lock lock(sleep_mutex_);
    if (!state_.needs_wake()) return;
    rouse_sizer();
    s = idle_ != nullptr ? idle_ : orphans_;
    if (s->holder == nullptr && !thread_to_be_had()) return;  // whoever becomes free looks again
    w = adopter_for(*s);
  }
  wakeups_.add();
  if (w != nullptr) {
    w->parker.unpark();
  } else {
    try_start_worker(*s);
  }
}

// For work that only this slot may do.
void pool_core::wake_slot(slot& s) noexcept {
  worker* w = nullptr;
  bool anybodys = false;
  {
    const prim::scoped_lock lock(sleep_mutex_);
    if (s.number >= limit_.load(prim::relaxed)) {
      give_away_inbox(s);
      anybodys = true;
    } else {
      if (s.where != slot::place::idle) return;
      rouse_sizer();
      if (s.holder == nullptr && !thread_to_be_had()) return;
      w = adopter_for(s);
    }
  }
  if (anybodys) {
    notify();
    return;
  }
  wakeups_.add();
  if (w != nullptr) {
    w->parker.unpark();
  } else {
    try_start_worker(s);
  }
}

// By a thread that is free for a slot, or leaves room for one: a slot may be idle beside work only
// because no thread could be had for it.
void pool_core::look_again() noexcept {
  if (any_work()) notify();
  for (const auto& s : slots_in_use()) {
    if (!s->inbox.empty()) wake_slot(*s);
  }
}

bool pool_core::thread_to_be_had() const noexcept {
  return spares_ != nullptr || threads_ < most_threads();
}

unsigned pool_core::most_threads() const noexcept {
  return limit_.load(prim::relaxed) + options_.max_spares;
}

// Takes the idle slot out of its list and gives it, with a searcher's credit, to the thread that
// sleeps in it or to a spare. Null: the caller has to start a thread, whose place is reserved.
// Requires a holder, or thread_to_be_had().
worker* pool_core::adopter_for(slot& s) noexcept {
  remove_idle(s);
  state_.sleeper_becomes_searcher();
  s.where = slot::place::held;
  worker* w = s.holder;
  if (w == nullptr) {
    if (spares_ == nullptr) {
      peak_threads_ = std::max(peak_threads_, ++threads_);
      return nullptr;
    }
    w = take_spare();
    s.holder = w;
    w->held = &s;
  }
  w->searching = true;
  return w;
}

worker* pool_core::take_spare() noexcept {
  worker* const w = spares_;
  spares_ = w->next_spare;
  --spare_count_;
  w->parked_as_spare = false;
  return w;
}

void pool_core::push_idle(slot& s) noexcept {
  s.where = slot::place::idle;
  slot*& top = s.holder != nullptr ? idle_ : orphans_;
  s.below = top;
  top = &s;
  if (s.holder == nullptr) ++orphan_count_;
}

void pool_core::remove_idle(slot& s) noexcept {
  slot** link = s.holder != nullptr ? &idle_ : &orphans_;
  while (*link != &s) link = &(*link)->below;
  *link = s.below;
  if (s.holder == nullptr) --orphan_count_;
}

// A searcher that has found work, or has other things to do before it can look. If it was the last
// one, work that appeared meanwhile relied on it, so it wakes its successor first.
void pool_core::end_search(worker& w) noexcept {
  if (!w.searching) return;
  w.searching = false;
  if (state_.searcher_leaves() && state_.sleepers() != 0 && any_work()) notify();
}

void pool_core::sleep(worker& w) noexcept {
  slot& s = *w.held;
  bool look_once_more = false;
  prim::flush_cells();
  {
    const prim::scoped_lock lock(sleep_mutex_);
    if (stopping_.load(prim::relaxed)) return;
    if (s.number >= limit_.load(prim::relaxed)) {
      retire_slot(w);
      look_once_more = w.searching && state_.searcher_leaves();
    } else {
      push_idle(s);
      if (w.searching) {
        look_once_more = state_.searcher_falls_asleep();
      } else {
        state_.sleeper_appears();  // the limit rose since this thread looked
        look_once_more = true;
      }
    }
    w.searching = false;
  }
  if ((look_once_more || w.held == nullptr) && any_work()) notify();
  if (w.held == nullptr) return;
  // Each of these may wake this very thread; its token is then in the parker.
  if (!s.inbox.empty()) wake_slot(s);
  check_quiet();
  w.parker.park();
}

// The slot is above the limit: it is not used until the limit rises, and its thread is a spare.
void pool_core::retire_slot(worker& w) noexcept {
  slot& s = *std::exchange(w.held, nullptr);
  give_away_deque(s);
  give_away_inbox(s);
  s.where = slot::place::unstarted;
  s.holder = nullptr;
  lower_reach();
}

void pool_core::lower_reach() noexcept {
  const unsigned limit = limit_.load(prim::relaxed);
  const unsigned before = reach_.load(prim::relaxed);
  unsigned reach = before;
  while (reach > limit && slot_table_[reach - 1]->where == slot::place::unstarted) --reach;
  if (reach != before) reach_.store(reach, prim::release);
}

// A thread without a slot, between tasks. True: it has been given one. False: it leaves.
bool pool_core::wait_as_spare(worker& w) noexcept {
  prim::flush_cells();
  for (;;) {
    {
      const prim::scoped_lock lock(sleep_mutex_);
      if (stopping_.load(prim::relaxed)) return false;
      w.next_spare = spares_;
      spares_ = &w;
      ++spare_count_;
      w.parked_as_spare = true;
    }
    look_again();
    check_quiet();
    if (!w.parker.park_until(prim::deadline_after(options_.spare_keep_alive))) {
      if (spare_leaves(w)) return false;
      w.parker.park();
    }
    if (w.held != nullptr) return true;
    // There are fewer workers now: what kept it may be over.
  }
}

// Nobody needed the spare for a while. It stays, and sleeps on, when it has just been chosen, or
// when without it there would be fewer threads than workers. It counts as a thread until its index
// is free again.
bool pool_core::spare_leaves(worker& w) noexcept {
  const prim::scoped_lock lock(sleep_mutex_);
  if (!w.parked_as_spare || threads_ - leaving_ <= limit_.load(prim::relaxed)) return false;
  worker** link = &spares_;
  while (*link != &w) link = &(*link)->next_spare;
  *link = w.next_spare;
  --spare_count_;
  ++leaving_;
  w.parked_as_spare = false;
  w.leaving = true;
  return true;
}

bool pool_core::spare_available() noexcept {
  const prim::scoped_lock lock(sleep_mutex_);
  return orphan_count_ < spare_count_ + (most_threads() - std::min(most_threads(), threads_));
}

// The thread is going to wait inside a task: its slot is laid down like that of a sleeping worker.
// Whoever would wake it gives it to a spare instead.
void pool_core::enter_wait(worker& w) {
  if (w.held == nullptr) {
    if (sizer_ == nullptr) return;
    const prim::scoped_lock lock(sleep_mutex_);
    ++waiting_;
    w.waiting = true;
    return;
  }
  if (!spare_available()) {
    starved_.add();
    if (fail_when_starved_.load(prim::relaxed)) {
      throw would_starve("thread_pool \"" + options_.name + "\": a worker must wait, and all " +
                         std::to_string(options_.max_spares) + " spare workers are in use");
    }
  }
  slot& s = *w.held;
  {
    const prim::scoped_lock lock(sleep_mutex_);
    ++waiting_;
    w.waiting = true;
    if (s.number >= limit_.load(prim::relaxed)) {
      retire_slot(w);
    } else {
      s.holder = nullptr;
      push_idle(s);
      state_.sleeper_appears();
      w.lent = &s;
      w.held = nullptr;
    }
  }
  blocked_.add();
  if (any_work()) notify();
  if (!s.inbox.empty()) wake_slot(s);
}

void pool_core::leave_wait(worker& w) noexcept {
  if (!w.waiting) return;
  const prim::scoped_lock lock(sleep_mutex_);
  w.waiting = false;
  --waiting_;
  rouse_sizer();
  if (w.lent == nullptr) return;
  slot& s = *std::exchange(w.lent, nullptr);
  if (s.where != slot::place::idle || s.holder != nullptr) return;  // somebody works in it
  remove_idle(s);
  state_.sleeper_leaves();
  s.where = slot::place::held;
  s.holder = &w;
  w.held = &s;
}

// A worker that is bound to a CPU cannot tell from its own mask what the process may use.
double pool_core::cores_now() const noexcept {
  if (options_.core_count != nullptr) return options_.core_count();
  try {
    kernel::core_budget budget = kernel::read_core_budget();
    if (!allowed_.empty()) budget.allowed = static_cast<int>(allowed_.size());
    return budget.usable();
  } catch (...) {
    return 1;  // no memory to find out
  }
}

unsigned pool_core::whole_cores_now() const noexcept {
  return static_cast<unsigned>(std::ceil(std::max(1.0, cores_now())));
}

// Looks at the core count again when a second has passed. The clock is asked after so many tasks
// as take a small part of that, or after a sleep.
void pool_core::follow_core_count(slot& s, bool after_sleep) noexcept {
  constexpr auto interval = std::chrono::seconds(1);
  if (!after_sleep && s.tick - s.looked_at < s.look_stride) return;
  const auto now = prim::clock::now();
  if (now - s.looked > interval / 4) {
    s.look_stride = std::max(1u, s.look_stride / 2);
  } else if (now - s.looked < interval / 16) {
    s.look_stride = std::min(1024u, s.look_stride * 2);
  }
  s.looked = now;
  s.looked_at = s.tick;
  const prim::clock::duration last(cores_read_at_.load(prim::relaxed));
  if (now.time_since_epoch() - last < interval) return;
  if (reading_cores_.exchange(true, prim::acquire)) return;
  cores_read_at_.store(now.time_since_epoch().count(), prim::relaxed);
  const unsigned wanted = std::min(whole_cores_now(), most_slots_);
  if (wanted != limit_.load(prim::relaxed)) set_limit(wanted);
  reading_cores_.store(false, prim::release);
}

// Slots that fall above the limit: idle ones are woken, and their threads give them up; orphans are
// given up here; held ones by their threads when their task is done. False, and nothing has
// changed, when the pool has stopped or sizing is off.
bool pool_core::set_limit(unsigned limit) noexcept {
  {
    const prim::scoped_lock lock(sleep_mutex_);
    if (stopping_.load(prim::relaxed) || (sizer_ != nullptr && !sizer_->is_on())) return false;
    const unsigned before = limit_.load(prim::relaxed);
    if (limit > reach_.load(prim::relaxed)) reach_.store(limit, prim::release);
    limit_.store(limit, prim::relaxed);
    for (const auto& each : slots_in_use().subspan(std::min(before, limit))) {
      slot& s = *each;
      if (s.number < limit) {
        if (s.where != slot::place::unstarted) continue;
        push_idle(s);
        state_.sleeper_appears();
      } else if (s.where == slot::place::idle) {
        if (s.holder != nullptr) {
          adopter_for(s)->parker.unpark();
        } else {
          remove_idle(s);
          state_.sleeper_leaves();
          s.where = slot::place::unstarted;
          give_away_deque(s);  // what the task submitted whose thread waits
        }
      }
      if (s.number >= limit) give_away_inbox(s);
    }
    lower_reach();
    if (limit < before) {
      while (spares_ != nullptr) take_spare()->parker.unpark();
    }
  }
  look_again();
  return true;
}

// Puts threads, one after the other, into as many slots that have none as there is work for. A
// chain of wake-ups would do it as well, but one thread start after the other. False: the system
// refused a thread.
bool pool_core::man_slots(std::size_t count) noexcept {
  for (; count != 0; --count) {
    slot* s = nullptr;
    worker* w = nullptr;
    {
      const prim::scoped_lock lock(sleep_mutex_);
      s = orphans_;
      if (s == nullptr || !thread_to_be_had()) return true;
      w = adopter_for(*s);
    }
    wakeups_.add();
    if (w != nullptr) {
      w->parker.unpark();
    } else if (!try_start_worker(*s)) {
      return false;
    }
  }
  return true;
}

// Threads that are neither asleep nor about to leave.
unsigned pool_core::active_threads() const noexcept {
  const unsigned parked = state_.sleepers() - orphan_count_ + spare_count_ + waiting_ + leaving_;
  return threads_ - std::min(threads_, parked);
}

// Slots laid down by threads that wait, for which no other thread can be had: they might as well
// wait in them.
unsigned pool_core::unserved_slots() const noexcept {
  const unsigned most = most_threads();
  const unsigned to_be_had = spare_count_ + (most - std::min(most, threads_));
  return orphan_count_ - std::min(orphan_count_, to_be_had);
}

// Nobody works, and nothing waits; or, after a quiet while, a worker is free for whatever comes.
bool pool_core::is_at_rest(bool is_quiet) noexcept {
  const unsigned asleep = state_.sleepers() - orphan_count_;
  prim::fence(prim::seq_cst);  // as in any_work()
  return (active_threads() == 0 || (is_quiet && asleep != 0)) && !any_job() &&
         !seems_to_have_children() &&
         std::ranges::all_of(slots_in_use(), [](const auto& s) { return s->inbox.empty(); });
}

void pool_core::book_busy_time() noexcept { sizer_->book(active_threads() + unserved_slots()); }

void pool_core::rouse_sizer() noexcept {
  if (sizer_ != nullptr) sizer_->rouse();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
