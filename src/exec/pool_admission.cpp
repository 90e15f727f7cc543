// Who may enter a pool whose queue is bounded, and who is served first.

#include "pool_core.hpp"

#include <algorithm>
#include <utility>

#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

constexpr unsigned normal_lane = normal_level - 1;

// A worker's turns, while there are tasks of other priorities: most go to the most urgent task, but
// in every sixteen one to what has become old, one to tasks of normal priority.
constexpr unsigned turns = 16;
constexpr unsigned turn_of_the_old = 5;
constexpr unsigned turn_of_the_normal = 13;

}  // namespace

std::uint32_t pool_core::stamp_now() const noexcept {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(prim::clock::now() - born_).count());
}

// Counted before anybody can see it, so that whoever reads zero has missed nothing.
bool pool_core::push_to_lane(unsigned level, const job_chain& chain,
                             job_queue::origin from) noexcept {
  const std::uint32_t now = stamp_now();
  for (job* j = chain.first;; j = j->next) {
    j->level = static_cast<std::uint8_t>(level);
    j->stamp = now;
    if (j == chain.last) break;
  }
  const std::size_t count = chain.size;
  lane_jobs_.fetch_add(count, prim::acq_rel);
  if (lanes_[level - 1].queue.push(chain, from)) return true;
  lane_jobs_.fetch_sub(count, prim::acq_rel);
  return false;
}

job* pool_core::from_lane(job* j) noexcept {
  if (j != nullptr) lane_jobs_.fetch_sub(1, prim::acq_rel);
  return j;
}

// What goes before the worker's ordinary tasks.
job* pool_core::urgent_job(const slot& s) noexcept {
  const unsigned turn = s.tick % turns;
  if (turn == turn_of_the_normal) return nullptr;
  if (turn == turn_of_the_old) {
    const std::uint32_t now = stamp_now();
    const auto limit = static_cast<std::uint32_t>(options_.aging.count());
    const auto old = [&](const job* j) { return now - j->stamp >= limit; };
    // From another lane each time, so that the old ones of one lane do not hide those of the next.
    for (unsigned i = 0; i < priority_levels; ++i) {
      lane& l = lanes_[(s.tick / turns + i) % priority_levels];
      if (job* const j = from_lane(l.queue.pop_if(old))) return j;
    }
  }
  for (unsigned i = 0; i < normal_lane; ++i) {
    if (job* const j = from_lane(lanes_[i].queue.pop())) return j;
  }
  return nullptr;
}

// When there is nothing of normal priority.
job* pool_core::any_lane_job() noexcept {
  for (lane& l : lanes_) {
    if (job* const j = from_lane(l.queue.pop())) return j;
  }
  return nullptr;
}

// For a bounded pool: whether the chain may be queued. It is counted in queued_ then.
submission pool_core::admit(const job_chain& chain) noexcept {
  const std::size_t capacity = options_.queue_capacity;
  // A worker of any pool: if it waited here, the pools could wait for each other for ever.
  const bool exempt = prim::thread_value(prim::thread_slot::worker) != nullptr;
  std::size_t n = queued_.load(prim::relaxed);
  for (;;) {
    if (n < capacity || exempt) {
      if (!queued_.compare_exchange_weak(n, n + chain.size, prim::relaxed, prim::relaxed)) continue;
      count_excess(n, chain.size);
      return submission::accepted;
    }
    if (closing_.load(prim::acquire)) return submission::closed;
    switch (options_.overflow) {
      case when_full::block:
        room_.await(
            [&] { return queued_.load(prim::relaxed) < capacity || closing_.load(prim::acquire); });
        break;
      case when_full::reject:
        refused_.add(chain.size);
        return submission::full;
      case when_full::run_in_caller:
        run_in_caller(chain);
        return submission::ran_in_caller;
      case when_full::drop_oldest:
        if (!drop_oldest()) prim::yield();  // all that was queued is about to begin
        break;
    }
    n = queued_.load(prim::relaxed);
  }
}

// Without asking whether there is room.
void pool_core::enter_queue(std::size_t count) noexcept {
  count_excess(queued_.fetch_add(count, prim::relaxed), count);
}

void pool_core::count_excess(std::size_t before, std::size_t count) noexcept {
  const std::size_t capacity = options_.queue_capacity;
  if (before + count > capacity) over_capacity_.add(before + count - std::max(before, capacity));
}

void pool_core::leave_queue(std::size_t count) noexcept {
  queued_.fetch_sub(count, prim::relaxed);
  if (options_.overflow != when_full::block) return;
  if (count == 1) {
    room_.notify_one();
  } else {
    room_.notify_all();
  }
}

// The least urgent ones first.
bool pool_core::drop_oldest() noexcept {
  job* j = nullptr;
  for (unsigned i = priority_levels; j == nullptr && i-- > normal_lane + 1;) {
    j = from_lane(lanes_[i].queue.pop());
  }
  if (j == nullptr) j = injected_.pop();
  for (const auto& s : slots_) {
    if (j == nullptr) j = s->inbox.pop();
    if (j == nullptr && s->deque.steal(j) != ws_deque<job*>::theft::success) j = nullptr;
  }
  for (unsigned i = normal_lane; j == nullptr && i-- > 0;) j = from_lane(lanes_[i].queue.pop());
  if (j == nullptr) return false;
  if (!is_tombstone(j)) dropped_.add();
  discard(j);
  return true;
}

void pool_core::run_in_caller(const job_chain& chain) noexcept {
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j == chain.last ? nullptr : j->next;
    submitted_.add();
    started_.add();
    ran_in_caller_.add();
    j->run(j, verb::run);
    completed_.add();
    j = rest;
  }
  check_quiet();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
