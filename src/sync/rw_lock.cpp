#include <heddle/prim/patience.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/rw_lock.hpp>

#include <algorithm>
#include <optional>

namespace heddle::inline HEDDLE_ABI {
namespace {

// Each look takes the lock's cache line from those who work with it, so a thread that spins looks
// ever less often.
constexpr unsigned most_turns_between_looks = 16;

}  // namespace

// A writer first claims the lock: from then on there is no other writer and no further reader. Then
// it waits for the readers that are there, in the table and counted. Who gives up meanwhile lets go
// of the claim as of the lock.
//
// Why no wake-up is lost. While somebody is in the queue, there is a writer, or a counted reader,
// or one that was taken from the queue and has yet to try. A writer's release serves the queue, and
// so does the last counted reader's unless there is a writer. One that was taken becomes a writer
// or a counted reader, or finds a writer; it does so whatever its limit says. (It does not become a
// reader in the table: that is not open while there is a queue.)
//
// Why the lock may be destroyed when the last unlock could be followed by a lock. A reader in the
// table touches its row alone. The other releases are an exchange, which is their last access, or
// happen under the lock of the queue, and then somebody who is inside lock or lock_shared leaves
// that only when this release has woken him, which comes after, or through the lock of the queue.

struct rw_lock::sleeper : wait_queue::node {
  explicit sleeper(bool is_writer) noexcept : writes(is_writer) {}
  static const sleeper& of(const wait_queue::entry& n) noexcept {
    return static_cast<const sleeper&>(n);
  }
  bool is_overdue() const noexcept { return overtaken >= prim::limits::rw_lock_overtakings; }

  const bool writes;
  bool granted = false;    // it was taken from the queue to be given the lock
  unsigned overtaken = 0;  // how often it was taken without getting the lock
};

enum class rw_lock::leaving : std::uint8_t { writer, last_reader };

// What others may know of a wait, from the moment on when the thread is about to sleep.
class rw_lock::announced_wait {
 public:
  announced_wait(const rw_lock& lock, const wait_limit& limit) noexcept
      : lock_(lock), limit_(limit) {}

  void begin() {
    if (region_) return;
    record_.emplace(limit_.record(wait_kind::rw_lock, &lock_, lock_.name()));
    record_->owner = [](const void* object) noexcept {
      return static_cast<const rw_lock*>(object)->owner();
    };
    region_.emplace(*record_);
  }

 private:
  const rw_lock& lock_;
  const wait_limit& limit_;
  std::optional<wait_record> record_;
  std::optional<blocking_region> region_;
};

namespace {

enum class outcome : std::uint8_t { done, again, blocked };

}  // namespace

// Tries, spins, and sleeps, until it is done or was given the lock; false at the limit.
template <class Try>
bool rw_lock::wait_in_turn(sleeper& me, const wait_limit& limit, announced_wait& wait,
                           Try attempt) {
  prim::patience spin;
  unsigned turns = 1;  // until the next look
  for (;;) {
    const outcome o = attempt();
    if (o == outcome::done) return true;
    if (o == outcome::again) continue;
    if (!spin.exhausted()) {
      for (unsigned i = 0; i < turns && !spin.exhausted(); ++i) spin.wait();
      turns = std::min(2 * turns, most_turns_between_looks);
      continue;
    }
    if (limit.over()) return false;
    wait.begin();
    if (!append(me)) continue;
    if (!sleep_in_queue(me, limit, [&]() noexcept { return withdraw(me); })) return false;
    if (me.granted) return true;
    ++me.overtaken;
    spin = prim::patience();
    turns = 1;
  }
}

// False when it need not wait. The eldest are in front: who was overtaken goes back there.
bool rw_lock::append(sleeper& s) noexcept {
  const prim::scoped_lock lock(lock_);
  for (;;) {
    const state w = now();
    if (s.writes ? !w.has_writer() : w.may_join(s.overtaken > 0)) return false;
    if (exchange(w, w.with_queue(true), prim::relaxed)) break;
  }
  if (s.overtaken > 0) {
    queue_.prepend(s);
  } else {
    queue_.append(s);
  }
  return true;
}

bool rw_lock::withdraw(sleeper& s) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!queue_.withdraw(s)) return false;
  if (!queue_.empty()) return true;
  for (;;) {
    const state w = now();
    if (exchange(w, w.with_queue(false), prim::relaxed)) return true;
  }
}

// Lets go, and takes from the queue those whose turn it is: they try like everybody, but for those
// who are overdue, who get the lock. False, and nothing has changed, when there is nobody in the
// queue any more, or the reader is no longer the last.
bool rw_lock::pass_on(leaving who) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (queue_.empty()) return false;
    const bool to_writer = sleeper::of(*queue_.first()).writes;
    const bool grant_writer = to_writer && sleeper::of(*queue_.first()).is_overdue();
    state::bits_type granted = 0;
    bool some_stay = to_writer && queue_.first()->after != nullptr;
    if (!to_writer) {
      for (const wait_queue::entry* n = queue_.first(); n != nullptr; n = n->after) {
        const sleeper& s = sleeper::of(*n);
        if (s.writes) some_stay = true;
        if (!s.writes && s.is_overdue()) ++granted;
      }
    }
    for (;;) {
      const state w = now();
      if (who == leaving::last_reader && (w.readers() != 1 || w.has_writer())) return false;
      state next = who == leaving::writer ? w.without_writer() : w.without_reader();
      if (grant_writer) next = next.claimed();
      next = next.with_readers(granted).with_queue(some_stay);
      if (exchange(w, next, prim::acq_rel)) break;
    }
    for (wait_queue::entry* n = queue_.first(); n != nullptr;) {
      wait_queue::entry* const after = n->after;
      auto& s = static_cast<sleeper&>(*n);
      if (s.writes == to_writer) {
        s.granted = s.is_overdue();
        queue_.take(s, woken);
        if (to_writer) break;
      }
      n = after;
    }
  }
  woken.wake();
  return true;
}

// Writing.

// The more rows a writer has to look at, the longer readers are counted after it.
rw_lock::state rw_lock::claimed(state s) const noexcept {
  if (!s.is_biased()) return s.claimed();
  const std::size_t reads = prim::limits::reader_calm +
                            prim::limits::reader_calm_per_row * detail::reader_row::used().size();
  return s.with_calm(std::min<state::bits_type>(reads, state::most_calm)).claimed();
}

bool rw_lock::lock_slow(const wait_limit& limit) {
  announced_wait wait(*this, limit);
  sleeper me(true);
  const bool mine = wait_in_turn(me, limit, wait, [this] {
    const state s = now();
    if (s.has_writer()) return outcome::blocked;
    return exchange(s, claimed(s), prim::seq_cst) ? outcome::done : outcome::again;
  });
  if (!mine) return false;
  try {
    if (await_readers(limit, wait)) return true;
  } catch (...) {
    unlock_slow();
    throw;
  }
  unlock_slow();
  return false;
}

bool rw_lock::try_lock_slow() noexcept {
  for (;;) {
    const state s = now();
    if (s.has_writer() || s.readers() > 0 || (s.may_be_in_table() && is_in_table())) return false;
    if (exchange(s, claimed(s), prim::seq_cst)) break;
  }
  if (is_in_table()) {
    unlock_slow();
    return false;
  }
  word_.fetch_and(~state::in_table, prim::relaxed);
  return true;
}

void rw_lock::unlock_slow() noexcept {
  for (;;) {
    const state s = now();
    if (s.is_queued()) {
      if (pass_on(leaving::writer)) return;
    } else if (exchange(s, s.without_writer(), prim::release)) {
      return;
    }
  }
}

// Waits for the readers that were there when this thread claimed the lock.
bool rw_lock::await_readers(const wait_limit& limit, announced_wait& wait) {
  if (state(word_.load(prim::acquire)).may_be_in_table()) {
    if (!await_table(limit, wait)) return false;
    word_.fetch_and(~state::in_table, prim::relaxed);
  }
  return await_counted(limit, wait);
}

// The table is closed: who comes to a slot sees that, and leaves at once.
bool rw_lock::await_table(const wait_limit& limit, announced_wait& wait) {
  for (detail::reader_row& row : detail::reader_row::used()) {
    for (const detail::reader_row::slot& slot : row.slots()) {
      prim::patience spin;
      while (slot.load(prim::seq_cst) == this) {
        if (!spin.exhausted()) {
          spin.wait();
          continue;
        }
        if (limit.over()) return false;
        wait.begin();
        if (!row.sleep_while(slot, this, limit)) return false;
      }
    }
  }
  return true;
}

bool rw_lock::await_counted(const wait_limit& limit, announced_wait& wait) {
  prim::patience spin;
  thread_waiter me;
  const auto withdraw_me = [&]() noexcept {
    const prim::scoped_lock lock(lock_);
    if (awaiting_ == nullptr) return false;
    awaiting_ = nullptr;
    for (;;) {
      const state s = now();
      if (exchange(s, s.with_awaited(false), prim::relaxed)) return true;
    }
  };
  const auto begin_to_wait = [&]() noexcept {
    const prim::scoped_lock lock(lock_);
    for (;;) {
      const state s = now();
      if (s.readers() == 0) return false;
      if (exchange(s, s.with_awaited(true), prim::relaxed)) break;
    }
    awaiting_ = &me;
    return true;
  };
  while (state(word_.load(prim::acquire)).readers() > 0) {
    if (!spin.exhausted()) {
      spin.wait();
      continue;
    }
    if (limit.over()) return false;
    wait.begin();
    if (begin_to_wait() && !sleep_until_chosen(me.parker, limit, withdraw_me)) return false;
  }
  return true;
}

// By the last counted reader, which wakes the writer. False, and nothing has changed, when that no
// longer sleeps, or others have come meanwhile.
bool rw_lock::release_to_awaiting() noexcept {
  thread_waiter* woken = nullptr;
  {
    const prim::scoped_lock lock(lock_);
    if (awaiting_ == nullptr) return false;
    for (;;) {
      const state s = now();
      if (s.readers() != 1) return false;
      if (exchange(s, s.without_reader().with_awaited(false), prim::release)) break;
    }
    woken = awaiting_;
    awaiting_ = nullptr;
  }
  woken->wake(woken);
  return true;
}

bool rw_lock::is_in_table() const noexcept {
  for (const detail::reader_row& row : detail::reader_row::used()) {
    for (const detail::reader_row::slot& slot : row.slots()) {
      if (slot.load(prim::seq_cst) == this) return true;
    }
  }
  return false;
}

// Reading.

bool rw_lock::lock_shared_slow(const wait_limit& limit) {
  if (try_lock_shared_slow()) return true;
  announced_wait wait(*this, limit);
  sleeper me(false);
  return wait_in_turn(me, limit, wait, [&] {
    if (enter_table()) return outcome::done;
    const state s = now();
    if (!s.may_join(me.overtaken > 0)) return outcome::blocked;
    return exchange(s, s.joined(), prim::acquire) ? outcome::done : outcome::again;
  });
}

bool rw_lock::try_lock_shared_slow() noexcept {
  for (;;) {
    const state s = now();
    if (s.is_biased()) {
      if (detail::reader_row::mine() == nullptr) detail::reader_row::enter();
      if (enter_table()) return true;
    }
    if (!s.may_join(false)) return false;
    if (exchange(s, s.joined(), prim::acquire)) return true;
  }
}

void rw_lock::leave_slow() noexcept {
  for (;;) {
    const state s = now();
    if (!s.is_last_and_wanted()) {
      if (exchange(s, s.without_reader(), prim::release)) return;
    } else if (s.is_awaited() ? release_to_awaiting() : pass_on(leaving::last_reader)) {
      return;
    }
  }
}

// These are not inlined, and their callers are: what they return to is the code that wanted the
// lock.

[[gnu::noinline]] bool rw_lock::lock_observed(const wait_limit& limit) {
  const void* const site = __builtin_return_address(0);
  if (take() || try_lock_slow()) {
    probe_.acquired(site);
    return true;
  }
  if (limit.deadline() == prim::never && lock_probe::checked() && probe_.owned_by_this_thread()) {
    probe_.misused("waiting without end for", wait_kind::rw_lock, this);
  }
  lock_wait wait(probe_, wait_kind::rw_lock, this);
  if (!lock_slow(limit)) return false;
  wait.acquired(site);
  return true;
}

[[gnu::noinline]] bool rw_lock::try_lock_observed() noexcept {
  if (!take() && !try_lock_slow()) return false;
  probe_.acquired(__builtin_return_address(0));
  return true;
}

void rw_lock::note_unlock() noexcept {
  if (lock_probe::checked()) {
    const bool by_another = probe_.owner() != 0 && !probe_.owned_by_this_thread();
    if (!now().has_writer() || by_another) probe_.misused("unlock of", wait_kind::rw_lock, this);
  }
  probe_.released();
}

bool rw_lock::lock_shared_observed(const wait_limit& limit) {
  if (enter_table() || try_lock_shared_slow()) {
    probe_.passed();
    return true;
  }
  if (limit.deadline() == prim::never && lock_probe::checked() && probe_.owned_by_this_thread()) {
    probe_.misused("waiting without end for", wait_kind::rw_lock, this);
  }
  lock_wait wait(probe_, wait_kind::rw_lock, this);
  if (!lock_shared_slow(limit)) return false;
  wait.passed();
  return true;
}

bool rw_lock::try_lock_shared_observed() noexcept {
  if (!enter_table() && !try_lock_shared_slow()) return false;
  probe_.passed();
  return true;
}

void rw_lock::check_unlock_shared() const noexcept {
  detail::reader_row* const row = detail::reader_row::mine();
  if (now().readers() > 0 || (row != nullptr && row->find(this) != nullptr)) return;
  probe_.misused("unlock_shared of", wait_kind::rw_lock, this);
}

}  // namespace heddle::inline HEDDLE_ABI
