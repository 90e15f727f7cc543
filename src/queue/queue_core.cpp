#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/queue/queue_core.hpp>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI::detail {

// Why no wake-up is lost. Those on a side sleep only while there is nothing for them, and say so in
// the same step, by a bit in the word that must move before there is something. Whoever moves the
// word sees the bit, and comes to wake one when the item is where it can be found. From then on
// until the one who was chosen has tried and called relay(), nobody else is woken, and the bit is
// not needed; relay() wakes the next one, or sets the bit in a step that finds nothing.
//
// So, at each moment when no lock is held: if somebody sleeps on a side, the bit is set or one was
// chosen who has yet to call relay(). The bit changes under the lock of the side.

queue_positions::queue_positions(const char* queue, std::size_t capacity)
    : capacity_(capacity),
      round_(slots_for(queue, capacity) * unit),
      round_bits_(static_cast<unsigned>(std::countr_zero(round_))) {}

auto queue_positions::first() const noexcept -> position {
  return prim::limits::first_position & ~(round_ - 1);
}

queue_core::queue_core(const char* queue, std::size_t capacity, std::string_view name)
    : positions_(queue, capacity),
      put_probe_(wait_kind::full_queue, this, name),
      get_probe_(wait_kind::empty_queue, this, name),
      tail_(positions_.first()),
      head_seen_(positions_.first()),
      head_(positions_.first()),
      done_(positions_.first()) {}

void queue_core::record(lock_recording what) {
  put_probe_.record(what, wait_kind::full_queue, this);
  get_probe_.record(what, wait_kind::empty_queue, this);
}

void queue_core::note_passed_observed(queue_side side, std::size_t items) noexcept {
  for (std::size_t i = 0; i < items; ++i) probe(side).passed();
  probe(side).took(items);
}

// Those on the other side are who can end it.
wait_record queue_core::record_of_wait(queue_side side, const wait_limit& limit) const noexcept {
  wait_record record = limit.record(kind(side), this, probe(side).name());
  record.probe = &probe(side);
  record.rescuers = &probe(side == queue_side::put ? queue_side::get : queue_side::put);
  record.over = [](const wait_record& r) noexcept {
    const auto& self = *static_cast<const queue_core*>(r.object);
    const queue_side of = r.kind == wait_kind::full_queue ? queue_side::put : queue_side::get;
    return self.closed() || !self.nothing_for(of, self.awaited(of));
  };
  return record;
}

// Sleeping and waking.

bool queue_core::nothing_for(queue_side side, queue_word awaited) const noexcept {
  return side == queue_side::put ? awaited.at() + positions_.round() == tail().at()
                                 : awaited.at() == head().at();
}

bool queue_core::nothing_for(queue_side side) const noexcept {
  return !closed() && nothing_for(side, side == queue_side::put ? head() : tail());
}

// Sets the bit in the step that finds nothing to be had; false when there is something. An old
// value of the other word makes no mistake: head <= tail <= head + a round, so where it says that
// there is nothing it is not old.
bool queue_core::announce(queue_side side) noexcept {
  prim::atomic<std::uint64_t>& awaited = awaited_by(side);
  queue_word seen{awaited.load(prim::relaxed)};
  do {
    if (!nothing_for(side, seen)) return false;
  } while (!seen.is_awaited() && !awaited.compare_exchange_weak(
                                     seen.bits, seen.bits | queue_word::awaited, prim::relaxed));
  return true;
}

// False when there is something to be had, or the queue is closed.
bool queue_core::append(queue_side side, wait_queue::node& n) noexcept {
  sleepers& s = on(side);
  const prim::scoped_lock lock(s.lock);
  if (closed()) return false;
  if (s.waking ? !nothing_for(side, awaited(side)) : !announce(side)) {
    return false;
  }
  s.queue.append(n);
  return true;
}

bool queue_core::withdraw(queue_side side, wait_queue::node& n) noexcept {
  sleepers& s = on(side);
  const prim::scoped_lock lock(s.lock);
  if (!s.queue.withdraw(n)) return false;
  if (s.queue.empty()) awaited_by(side).fetch_and(~queue_word::awaited, prim::relaxed);
  return true;
}

void queue_core::choose(sleepers& s, queue_side side, wait_queue::chain& woken) noexcept {
  s.queue.take(*s.queue.first(), woken);
  s.waking = true;
  awaited_by(side).fetch_and(~queue_word::awaited, prim::relaxed);
}

void queue_core::wake(queue_side side) noexcept {
  sleepers& s = on(side);
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(s.lock);
    if (s.waking || s.queue.empty()) return;
    choose(s, side, woken);
  }
  woken.wake();
}

// One who was chosen has tried.
void queue_core::relay(queue_side side) noexcept {
  sleepers& s = on(side);
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(s.lock);
    s.waking = false;
    if (s.queue.empty() || announce(side)) return;
    choose(s, side, woken);
  }
  woken.wake();
}

// The end.

void queue_core::close() noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(getters_.lock);
    {
      const prim::scoped_lock inner(putters_.lock);
      tail_.fetch_or(queue_word::closed, prim::relaxed);
      putters_.queue.take_all(woken);
      head_.fetch_and(~queue_word::awaited, prim::relaxed);
    }
    getters_.queue.take_all(woken);
  }
  woken.wake();
}

void queue_core::meet_closer() noexcept { const prim::scoped_lock lock(getters_.lock); }

// Done, and joined. Without the bit, the exchange is the last access of task_done(). With it the
// word changes under the lock, and those who sleep leave only when they were woken, or through the
// lock.

void queue_core::task_done(std::size_t n) {
  queue_word seen{done_.load(prim::relaxed)};
  for (;;) {
    const std::int64_t open = positions_.distance(seen.at(), head().at());
    if (open < 0 || n > static_cast<std::size_t>(open)) {
      throw std::invalid_argument("queue: task_done of " + std::to_string(n) + ", with " +
                                  std::to_string(std::max<std::int64_t>(open, 0)) +
                                  " items taken and not done");
    }
    const queue_word next = seen.moved_to(positions_.after(seen.at(), n));
    if (seen.is_awaited()
            ? finish_under_lock(seen, next)
            : done_.compare_exchange_weak(seen.bits, next.bits, prim::release, prim::relaxed)) {
      return;
    }
  }
}

bool queue_core::finish_under_lock(queue_word& seen, queue_word next) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(join_lock_);
    if (!done_.compare_exchange_strong(seen.bits, next.bits, prim::acq_rel, prim::relaxed)) {
      return false;
    }
    if (next.at() == tail().at()) {
      joiners_.take_all(woken);
      done_.fetch_and(~queue_word::awaited, prim::relaxed);
    }
  }
  woken.wake();
  return true;
}

bool queue_core::join(const wait_limit& limit) {
  // In this order: an item that is put meanwhile may make it false, but never true.
  const queue_word done{done_.load(prim::acquire)};
  if (done.at() == tail().at()) return true;
  if (limit.over()) return false;
  wait_record record = limit.record(wait_kind::join, this, get_probe_.name());
  const blocking_region region(record);
  wait_queue::node n;
  return !append_joiner(n) ||
         sleep_in_queue(n, limit, [&]() noexcept { return withdraw_joiner(n); });
}

// False when everything is done.
bool queue_core::append_joiner(wait_queue::node& n) noexcept {
  const prim::scoped_lock lock(join_lock_);
  queue_word seen{done_.load(prim::acquire)};
  do {
    if (seen.at() == tail().at()) return false;
  } while (!seen.is_awaited() &&
           !done_.compare_exchange_weak(seen.bits, seen.bits | queue_word::awaited, prim::acquire,
                                        prim::acquire));
  joiners_.append(n);
  return true;
}

bool queue_core::withdraw_joiner(wait_queue::node& n) noexcept {
  const prim::scoped_lock lock(join_lock_);
  if (!joiners_.withdraw(n)) return false;
  if (joiners_.empty()) done_.fetch_and(~queue_word::awaited, prim::relaxed);
  return true;
}

// Figures.

std::size_t queue_core::length() const noexcept {
  const position head = this->head().at();
  const std::int64_t length = positions_.distance(head, tail().at());
  if (length <= 0) return 0;
  return std::min(static_cast<std::size_t>(length), positions_.capacity());
}

std::uint64_t queue_core::total_put() const noexcept {
  return static_cast<std::uint64_t>(positions_.distance(positions_.first(), tail().at()));
}

std::uint64_t queue_core::total_taken() const noexcept {
  return static_cast<std::uint64_t>(positions_.distance(positions_.first(), head().at()));
}

void queue_core::raise_peak(position tail) noexcept {
  const position head = this->head().at();
  head_seen_.store(head, prim::relaxed);
  const std::int64_t length = positions_.distance(head, tail);
  if (length <= 0) return;  // it has been taken since
  const auto now = std::min(static_cast<std::size_t>(length), positions_.capacity());
  std::size_t peak = peak_.load(prim::relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, prim::relaxed)) {
  }
}

// Waits.

bool queue_wait::again() {
  if (!spin_.exhausted()) {
    spin_.wait();
    return true;
  }
  if (region_) {
    relay();
    if (limit_.over()) return false;
  } else {
    wait_record& record =
        record_.emplace(limit_.record(queue_core::kind(side_), &core_, core_.probe(side_).name()));
    record.probe = &core_.probe(side_);
    record.rescuers = &core_.probe(side_ == queue_side::put ? queue_side::get : queue_side::put);
    record.over = [](const wait_record& r) noexcept {
      const auto& core = *static_cast<const queue_core*>(r.object);
      return !core.nothing_for(r.kind == queue_core::kind(queue_side::put) ? queue_side::put
                                                                           : queue_side::get);
    };
    region_.emplace(*record_);
  }
  if (core_.append(side_, node_)) {
    if (!sleep_in_queue(node_, limit_, [&]() noexcept { return core_.withdraw(side_, node_); })) {
      return false;
    }
    chosen_ = true;
  }
  return true;
}

void queue_wait::relay() noexcept {
  if (!chosen_) return;
  chosen_ = false;
  core_.relay(side_);
}

queue_wait::~queue_wait() { relay(); }

}  // namespace heddle::inline HEDDLE_ABI::detail
