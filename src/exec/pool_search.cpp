// What the workers do: look for the next job, run it, and keep their queues in order.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <span>

#include <heddle/prim/patience.hpp>

#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Every so many tasks a worker looks at the shared queue first, so that a task that keeps spawning
// cannot starve those that came from outside. A prime, so that it falls out of step with patterns.
constexpr unsigned fairness_interval = 61;

// Rings are in rising order.
std::span<const std::uint32_t> up_to(unsigned reach, std::span<const std::uint32_t> ring) noexcept {
  if (ring.back() < reach) return ring;
  const auto end = std::ranges::lower_bound(ring, reach);
  return ring.first(static_cast<std::size_t>(end - ring.begin()));
}

}  // namespace

void pool_core::run(worker& w) noexcept {
  for (;;) {
    while (job* const j = next_job(w)) {
      if (j == &w.visit) {
        j->run(j, verb::run);
      } else {
        execute(w, j);
      }
      if (!is_of_this_process()) [[unlikely]]
        end_forked_task();
    }
    if (stopping_.load(prim::acquire) || !wait_as_spare(w)) return;
    w.take_place();
  }
}

// The queues are copies of the parent's, and no other worker is here.
void pool_core::end_forked_task() noexcept {
  std::fprintf(stderr,
               "heddle: a task of pool \"%s\" forked, and returned in the child; there it must end "
               "with exec, exit or _exit\n",
               options_.name.c_str());
  std::abort();
}

// The next job for this thread, asleep until there is one; null when the pool stops or the thread
// has lost its slot.
job* pool_core::next_job(worker& w) noexcept {
  for (bool after_sleep = false; w.held != nullptr; after_sleep = true) {
    if (stopping_.load(prim::acquire)) return nullptr;
    slot& s = *w.held;
    if (s.number < limit_.load(prim::relaxed)) {
      job* j = own_job(s);
      if (j == nullptr) {
        if (!w.searching) {
          w.searching = true;
          state_.searcher_appears();
        }
        j = stolen_job(w);
        if (j == nullptr) j = awaited_job(w);
      }
      if (j != nullptr) {
        end_search(w);
        if (follows_cores_) follow_core_count(s, after_sleep);
        return j;
      }
    }
    sleep(w);
  }
  return nullptr;
}

job* pool_core::own_job(slot& s) noexcept {
  job* j = nullptr;
  ++s.tick;
  if (lanes_in_use() && (j = urgent_job(s)) != nullptr) return j;
  // Now and then the eldest go first: a task that keeps submitting, here or in front of others,
  // must not keep them waiting for ever.
  if (s.tick % fairness_interval == 0) {
    if ((j = injected_.pop(s.number)) != nullptr) return j;
    if (s.deque.steal(j) == ws_deque<job*>::theft::success) return j;
  }
  if ((j = s.inbox.pop()) != nullptr) return j;
  if (s.deque.pop(j)) return j;
  bool busy = false;
  return injected_job(s, busy);
}

// From the shared queues: a worker takes its share of what is there, up to a batch, runs the first
// and keeps the others where everybody can steal them.
job* pool_core::injected_job(slot& s, bool& busy) noexcept {
  // The order of a bounded queue is kept as well: the eldest may have to be dropped.
  if (fifo_ || bounded_) return injected_.pop();
  job* batch[prim::limits::pool_batch];
  const std::size_t taken = injected_.take(s.number, batch, size(), busy);
  if (taken == 0) return nullptr;
  if (taken == 1) return batch[0];
  keep(s, std::span(batch + 1, taken - 1));
  return batch[0];
}

// The nearest first, and among those equally near a random one. Whoever was robbed a moment ago, or
// has one job left, is passed by at first, and robbed as a last resort, the richest before others.
job* pool_core::stolen_job(worker& w) noexcept {
  slot& s = *w.held;
  prim::patience spin;
  for (bool again = true; again;) {
    again = false;
    job* j = nullptr;
    if (open_lanes_.load(prim::relaxed) != 0 && (j = stolen_child(w, again)) != nullptr) return j;
    const unsigned reach = reach_.load(prim::acquire);
    for (std::size_t r = 0; r < rings_.rings(s.number); ++r) {
      const auto ring = up_to(reach, rings_.ring(s.number, r));
      if (ring.empty()) continue;
      const std::uint32_t start = s.random.below(static_cast<std::uint32_t>(ring.size()));
      for (std::size_t i = 0; i < ring.size(); ++i) {
        slot& victim = *slot_table_[ring[(start + i) % ring.size()]];
        if (&victim == &s || victim.deque.size() < 2) continue;
        if (victim.lately_robbed.load(prim::relaxed)) {
          victim.lately_robbed.store(false, prim::relaxed);
          continue;
        }
        if (rob(s, victim, j, again)) return j;
      }
    }
    bool busy = false;
    if ((j = injected_job(s, busy)) != nullptr) return j;
    if ((j = richest_victims_job(s, again)) != nullptr) return j;
    if (lanes_in_use() && (j = any_lane_job()) != nullptr) return j;
    if (busy) {
      again = true;
      spin.wait();  // for a lock that somebody holds for a moment
    }
  }
  return nullptr;
}

job* pool_core::richest_victims_job(slot& s, bool& again) noexcept {
  for (;;) {
    slot* richest = nullptr;
    std::size_t most = 0;
    for (const auto& each : slots_in_use()) {
      const std::size_t size = each.get() == &s ? 0 : each->deque.size();
      if (size <= most) continue;
      most = size;
      richest = each.get();
    }
    if (richest == nullptr) return nullptr;
    job* j = nullptr;
    if (rob(s, *richest, j, again)) return j;
  }
}

// More of what a thief has begun to take: half of what is left, up to a batch. It goes into the
// thief's deque, the newest first, as in injected_job(). One by one it would cost a transfer of the
// victim's line a job, and the victim as much.
std::uint64_t pool_core::carry_off(slot& s, slot& victim) noexcept {
  job* loot[prim::limits::pool_raid];
  const std::size_t wanted = std::min(victim.deque.size() / 2, std::size(loot));
  std::size_t taken = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    s.steal_attempts.add();
    if (victim.deque.steal(loot[taken]) != ws_deque<job*>::theft::success) break;
    ++taken;
  }
  if (taken == 0) return 0;
  s.steals.add(taken);
  keep(s, std::span(loot, taken));
  return taken;
}

// Into the deque, newest first, so that the owner pops them in the order in which they came.
void pool_core::keep(slot& s, std::span<job* const> jobs) noexcept {
  for (std::size_t i = jobs.size(); i-- != 0;) {
    try {
      s.deque.push(jobs[i]);
    } catch (const std::bad_alloc&) {
      job_chain one;
      one.append(jobs[i]);
      injected_.take_over(one);
    }
  }
  notify();  // for whoever fell asleep while they were in nobody's queue
}

// `again` is set when another thief was faster: there may be more.
bool pool_core::rob(slot& s, slot& victim, job*& j, bool& again) noexcept {
  s.steal_attempts.add();
  switch (victim.deque.steal(j)) {
    case ws_deque<job*>::theft::success:
      victim.lately_robbed.store(true, prim::relaxed);
      s.steals.add();
      victim.robbed.add(1 + carry_off(s, victim));
      return true;
    case ws_deque<job*>::theft::lost:
      again = true;
      return false;
    case ws_deque<job*>::theft::empty:
      break;
  }
  return false;
}

// Looks out for work for a while before the thread goes to sleep. It looks from time to time only,
// and the first time after a good while: whoever watches a queue all the time takes its line away
// from those who fill it, and finds jobs one by one instead of in batches.
job* pool_core::awaited_job(worker& w) noexcept {
  slot& s = *w.held;
  if (spin_ == spin_.zero() || state_.searchers() != 1) return nullptr;
  check_quiet();  // who waits for the end of all tasks shall not wait for this
  constexpr unsigned pauses_at_first = 64;
  constexpr unsigned pauses_between_looks = 16;
  constexpr unsigned looks_between_clocks = 4;
  const auto end = prim::deadline_after(spin_);
  unsigned pauses = pauses_at_first;
  do {
    for (unsigned look = 0; look < looks_between_clocks; ++look) {
      for (; pauses != 0; --pauses) prim::pause();
      pauses = pauses_between_looks;
      if (stopping_.load(prim::relaxed) || !s.inbox.empty()) return s.inbox.pop();
      if (quiet_waiters_.load(prim::relaxed) != 0) return nullptr;
      if (!any_job() && !seems_to_have_children()) continue;
      if (job* const j = stolen_job(w)) return j;
    }
  } while (prim::clock::now() < end);
  return nullptr;
}

// To the shared queue; the caller makes sure that somebody is told.
void pool_core::give_away_deque(slot& s) noexcept {
  job_chain chain;
  job* j = nullptr;
  while (s.deque.pop(j)) chain.append(j);
  injected_.take_over(chain);
}

void pool_core::give_away_inbox(slot& s) noexcept {
  job_chain chain;
  while (job* const j = s.inbox.pop()) chain.append(j);
  injected_.take_over(chain);
}

void pool_core::execute(worker& w, job* j) noexcept {
  if (w.held != nullptr) {
    w.held->started.add();
  } else {
    started_.add();
  }
  if (bounded_) leave_queue(1);
  const unsigned level = j->level.load(prim::relaxed) & ~inherited_level;
  const std::uint8_t outer = w.mark.level.exchange(static_cast<std::uint8_t>(level));
  ++w.depth;
  if (cancelling_.load(prim::acquire)) {
    if (!is_tombstone(j)) discarded_.add();
    j->run(j, verb::discard);
  } else {
    j->run(j, verb::run);
  }
  --w.depth;
  count_completed(w.mark.level);
  w.mark.level = outer;
  // The thread may have lost its slot, or got another, while it ran.
  if (w.held != nullptr) {
    w.held->completed.add();
  } else {
    completed_.add();
  }
}

// Whether a worker in the middle of a bulk should go on with it: nothing else claims its attention.
bool pool_core::bulk_goes_on(const worker& w) const noexcept {
  return w.held != nullptr && !lanes_in_use() && w.held->inbox.empty() &&
         w.held->number < limit_.load(prim::relaxed) && is_of_this_process();
}

// The visit itself was counted as one.
void pool_core::count_bulk_tasks(std::uint64_t tasks) noexcept {
  if (tasks < 2) return;
  const std::uint64_t count = tasks - 1;
  worker* const w = this_worker();
  if (w != nullptr && w->held != nullptr) {
    w->held->submitted.add(count);
    w->held->started.add(count);
    w->held->completed.add(count);
  } else {
    submitted_.add(count);
    started_.add(count);
    completed_.add(count);
  }
  if (w == nullptr || w->mark.level == 0 || w->mark.level == normal_level) return;
  lanes_[w->mark.level - 1].bulk_tasks.add(count);
  lanes_[w->mark.level - 1].completed.add(count);
}

void pool_core::count_completed(unsigned level) noexcept {
  if (level != 0 && level != normal_level) lanes_[level - 1].completed.add();
}

// Entries of tasks that a waiter ran itself must not pile up while its own task goes on. In the
// deque they are the newest, once those above them have been waited for too; in a shared queue they
// are swept out when they may be half of it.
void pool_core::bury_tombstones(worker& w, unsigned level) noexcept {
  if (level != 0 && level != normal_level) {
    lane& l = lanes_[level - 1];
    if (!too_many(l.tombstones, l.queue.size())) return;
    const job_chain swept = l.queue.take_if(&is_tombstone);
    lane_jobs_.fetch_sub(swept.size, prim::acq_rel);
    run_tombstones(w, swept);
    return;
  }
  job* j = nullptr;
  if (w.held != nullptr && !fifo_) {
    while (w.held->deque.pop(j)) {
      if (!is_tombstone(j)) {
        w.held->deque.push(j);  // into the place where it was: cannot fail
        notify();               // a thread that went to sleep meanwhile has not seen it
        return;
      }
      execute(w, j);
    }
    return;
  }
  if (!too_many(injected_tombstones_, injected_.size())) return;
  run_tombstones(w, injected_.take_if(&is_tombstone));
}

// Counts one more, and says whether it is time to sweep.
bool pool_core::too_many(prim::atomic<std::size_t>& tombstones, std::size_t queued) noexcept {
  constexpr std::size_t fewest = 64;
  const std::size_t buried = tombstones.fetch_add(1, prim::relaxed) + 1;
  if (buried < fewest || buried < queued / 2) return false;
  tombstones.store(0, prim::relaxed);
  return true;
}

void pool_core::run_tombstones(worker& w, const job_chain& swept) noexcept {
  for (job* j = swept.first; j != nullptr;) {
    job* const rest = j->next;
    execute(w, j);
    j = rest;
  }
}

bool pool_core::any_work() noexcept {
  // Pairs with the fence of notify(): whoever has changed the word and finds nothing here is seen,
  // in the word, by whoever submits afterwards.
  prim::fence(prim::seq_cst);
  return any_job() || (open_lanes_.load(prim::relaxed) != 0 && any_child());
}

bool pool_core::any_job() const noexcept {
  if (!injected_.empty() || (lanes_in_use() && any_lane_filled())) return true;
  return std::ranges::any_of(slots_in_use(), [](const auto& s) { return !s->deque.empty(); });
}

}  // namespace heddle::inline HEDDLE_ABI::detail
