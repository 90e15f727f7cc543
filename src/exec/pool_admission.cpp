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

bool pool_core::push_to_lane(unsigned level, const job_chain& chain,
                             job_queue::origin from) noexcept {
  const std::uint32_t now = stamp_now();
  for (job* j = chain.first;; j = j->next) {
    j->level.store(static_cast<std::uint8_t>(level), prim::relaxed);
    j->stamp = now;
    if (j == chain.last) break;
  }
  const std::size_t count = chain.size;
  lane_jobs_.fetch_add(count, prim::acq_rel);
  if (lanes_[(level & ~inherited_level) - 1].queue.push(chain, from)) return true;
  lane_jobs_.fetch_sub(count, prim::acq_rel);
  return false;
}

// Asked beside the count, which runs ahead of what can be had: a worker that went by the count
// alone would run in circles while somebody is interrupted in the middle of a push or a pop.
bool pool_core::any_lane_filled() const noexcept {
  return std::ranges::any_of(lanes_, [](const lane& l) { return !l.queue.empty(); });
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
    const auto limit = static_cast<std::uint32_t>(
        std::min<std::chrono::milliseconds::rep>(options_.aging.count(), ~std::uint32_t{0}));
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
  // A task that is run in its caller's stead runs its own there, too, but not without end: one that
  // submits its successor would use up the stack.
  constexpr unsigned deepest = 32;
  const void* const* const mine = prim::thread_values();
  const auto* const frame =
      static_cast<const caller_frame*>(mine[static_cast<unsigned>(prim::thread_slot::caller_of)]);
  const bool exempt = mine[static_cast<unsigned>(prim::thread_slot::worker)] != nullptr ||
                      (frame != nullptr && frame->depth >= deepest);
  const bool inside = frame != nullptr && frame->core == this;
  std::size_t dropped = 0;
  std::size_t n = queued_.load(prim::relaxed);
  for (;;) {
    if (n < capacity || exempt || dropped == chain.size) {
      if (!queued_.compare_exchange_weak(n, n + chain.size, prim::relaxed, prim::relaxed)) continue;
      count_excess(n, chain.size);
      return submission::accepted;
    }
    if (!inside && closing_.load(prim::acquire)) return submission::closed;
    switch (options_.overflow) {
      case when_full::block:
        room_.await(
            [&] { return queued_.load(prim::relaxed) < capacity || closing_.load(prim::acquire); });
        break;
      case when_full::reject:
        refused_.add(chain.size);
        return submission::full;
      case when_full::run_in_caller:
        // Counted where the others are: once the queue is closed, none begins behind its end.
        if (!injected_.count(chain.size,
                             inside ? job_queue::origin::inside : job_queue::origin::outside)) {
          return submission::closed;
        }
        run_in_caller(chain);
        return submission::ran_in_caller;
      case when_full::drop_oldest:
        // One for one. Where nothing can be dropped, as all that waits came otherwise, it is
        // accepted.
        dropped = drop_oldest() ? dropped + 1 : chain.size;
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

// The least urgent ones first; only what was submitted, not continuations, timers or strands.
bool pool_core::drop_oldest() noexcept {
  job* j = nullptr;
  for (unsigned i = priority_levels; j == nullptr && i-- > normal_lane + 1;) {
    j = from_lane(lanes_[i].queue.take_first(&is_droppable));
  }
  if (j == nullptr) j = injected_.take_first(&is_droppable);
  for (const auto& s : slots()) {
    if (j == nullptr) j = s->inbox.take_first(&is_droppable);
  }
  for (unsigned i = normal_lane; j == nullptr && i-- > 0;) {
    j = from_lane(lanes_[i].queue.take_first(&is_droppable));
  }
  if (j == nullptr) return false;
  if (!is_tombstone(j)) dropped_.add();
  discard(j);
  check_quiet();  // it may have been the last one that somebody waits for
  return true;
}

// To the pool's rules the thread is inside a task meanwhile. The chain is counted as submitted.
void pool_core::run_in_caller(const job_chain& chain) noexcept {
  void*& slot = prim::thread_value(prim::thread_slot::caller_of);
  void* const before = slot;
  const auto* const outer = static_cast<const caller_frame*>(before);
  caller_frame frame{this, outer == nullptr ? 1 : outer->depth + 1};
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j->next;
    started_.add();
    ran_in_caller_.add();
    slot = &frame;
    j->run(j, verb::run);
    slot = before;
    completed_.add();
    j = rest;
  }
  check_quiet();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
