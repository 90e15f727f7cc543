#include "pool_core.hpp"
#include "pool_sizing.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/future/state.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/patience.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Beyond any machine, and far below what would exhaust memory.
constexpr unsigned most_workers = 1u << 16;

// Every so many tasks a worker looks at the shared queue first, so that a task that keeps spawning
// cannot starve those that came from outside. A prime, so that it falls out of step with patterns.
constexpr unsigned fairness_interval = 61;

// Whether this process may give its threads such a rank is only known by trying, on a thread that
// is not the caller's.
void check_rank(const prim::thread_priority& rank) {
  prim::check_priority(rank);
  if (rank == prim::thread_priority{}) return;
  std::exception_ptr failure;
  prim::thread([&] {
    try {
      prim::set_this_thread_priority(rank);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure != nullptr) std::rethrow_exception(failure);
}

// Rings are in rising order.
std::span<const std::uint32_t> up_to(unsigned reach, std::span<const std::uint32_t> ring) noexcept {
  if (ring.back() < reach) return ring;
  const auto end = std::ranges::lower_bound(ring, reach);
  return ring.first(static_cast<std::size_t>(end - ring.begin()));
}

// One a worker, in powers of two: enough that submitters rarely meet, few enough to look through.
std::size_t shards_for(const thread_pool_options& options, bool in_order) noexcept {
  if (in_order) return 1;
  const unsigned workers =
      options.workers != 0 ? options.workers : prim::thread::hardware_concurrency();
  return std::clamp<std::size_t>(workers, 1, prim::limits::pool_shards);
}

}  // namespace

pool_core::pool_core(thread_pool_options&& options)
    : options_(std::move(options)),
      generation_(prim::fork_generation()),
      fifo_(options_.schedule == scheduling::fifo),
      follows_cores_(options_.workers == 0 && !options_.sizing),
      spin_(options_.spin),
      bounded_(options_.queue_capacity != thread_pool_options::unbounded),
      injected_(shards_for(options_, fifo_ || bounded_)) {
  // A child whose first use fails may try again with them.
  struct give_back {
    thread_pool_options* from;
    thread_pool_options& to;
    ~give_back() {
      if (from != nullptr) to = std::move(*from);
    }
  } unless_made{&options_, options};
  if (options_.workers > most_workers) {
    throw std::invalid_argument("thread_pool: " + std::to_string(options_.workers) +
                                " workers; the most is " + std::to_string(most_workers));
  }
  if (options_.max_spares > most_workers) {
    throw std::invalid_argument("thread_pool: max_spares " + std::to_string(options_.max_spares) +
                                "; the most is " + std::to_string(most_workers));
  }
  if (options_.spare_keep_alive.count() < 0 || options_.stuck_after.count() < 0 ||
      options_.spin.count() < 0 || options_.aging.count() < 0) {
    throw std::invalid_argument("thread_pool: a negative duration in the options");
  }
  if (options_.queue_capacity == 0) {
    throw std::invalid_argument("thread_pool: queue_capacity 0; a task must be able to wait");
  }
  check_rank(options_.thread_priority);
  prim::watch_forks();

  fail_when_starved_.store(options_.when_starved == at_spare_cap::fail, prim::relaxed);

  // A pool that follows the cores has a slot for each that it might be given; an adaptive one makes
  // them when it grows.
  unsigned wanted = options_.workers;
  most_slots_ = wanted;
  if (options_.sizing) {
    if (wanted != 0) {
      throw std::invalid_argument("thread_pool: workers " + std::to_string(wanted) +
                                  " beside sizing, which finds the number itself");
    }
    sizer_ = std::make_unique<pool_sizer>(*this, *options_.sizing);
    wanted = sizer_->first_size();
    most_slots_ = sizer_->most();
  } else if (follows_cores_) {
    wanted = whole_cores_now();
    most_slots_ = std::max(wanted, prim::thread::hardware_concurrency());
  }
  const unsigned most = most_slots_;
  slot_table_ = std::make_unique<std::unique_ptr<slot>[]>(most);
  cores_read_at_.store(prim::clock::now().time_since_epoch().count(), prim::relaxed);
  reading_cores_.store(true, prim::relaxed);  // nobody changes the limit until all is in place
  make_slots(sizer_ != nullptr ? wanted : most);
  if (options_.affinity.policy == kernel::placement::none) {
    rings_ = kernel::steal_rings(most);
  } else {
    const kernel::topology machine = kernel::read_topology();
    cpus_ = kernel::assign_cpus(machine, options_.affinity, most);
    allowed_.assign(machine.allowed.begin(), machine.allowed.end());
    rings_ = kernel::steal_rings(machine, cpus_);
  }
  reach_.store(wanted, prim::relaxed);
  limit_.store(wanted, prim::relaxed);
  try {
    for (unsigned i = 0; i < wanted; ++i) {
      {
        const prim::scoped_lock lock(sleep_mutex_);
        slot_table_[i]->where = slot::place::held;
        peak_threads_ = ++threads_;
      }
      start_worker(*slot_table_[i], false);
    }
    if (sizer_ != nullptr) sizer_->start();
  } catch (...) {
    stop_workers();
    wait_until_stopped(prim::never);
    throw;
  }
  reading_cores_.store(false, prim::release);
  unless_made.from = nullptr;
}

pool_core::~pool_core() { destroy_lanes(); }

// Throws std::bad_alloc; those that were made stay.
void pool_core::make_slots(unsigned count) {
  const prim::scoped_lock lock(threads_mutex_);
  for (unsigned i = slots_made_.load(prim::relaxed); i < count; ++i) {
    slot_table_[i] = std::make_unique<slot>(i);
    if (inboxes_closed_) slot_table_[i]->inbox.close();
    slots_made_.store(i + 1, prim::release);
  }
}

pool_core& pool_core::successor() {
  pool_core* made = successor_.load(prim::acquire);
  if (made == nullptr) {
    const prim::no_fork steady;
    made = successor_.load(prim::acquire);
    if (closing_.load(prim::acquire)) throw rejected("thread_pool: shut down");
    if (made == nullptr) {
      // Nobody else needs the options any more, but for the name, which may have been given out.
      thread_pool_options options = std::move(options_);
      options_.name = options.name;
      try {
        made = new pool_core(std::move(options));
        if (!sizing_is_on()) made->set_sizing(false);
      } catch (...) {
        options_ = std::move(options);
        throw;
      }
      successor_.store(made, prim::release);
    }
  }
  return made->current();
}

pool_core* pool_core::current_if_made() noexcept {
  pool_core* core = this;
  while (core != nullptr && !core->is_of_this_process()) {
    core = core->successor_.load(prim::acquire);
  }
  return core;
}

bool pool_core::close_unused() noexcept {
  if (is_of_this_process()) return false;
  const prim::no_fork steady;
  pool_core* last = this;
  while (pool_core* const next = last->successor_.load(prim::acquire)) last = next;
  if (last->is_of_this_process()) return false;
  last->closing_.store(true, prim::release);
  return true;
}

namespace {
constinit prim::atomic<pool_core*> abandoned{nullptr};
}

// Its locks may be held, and its queues half changed, by threads that are not here, so nothing of
// it is touched again. The list keeps it from being taken for a leak.
void pool_core::abandon() noexcept {
  next_abandoned_ = abandoned.load(prim::relaxed);
  while (!abandoned.compare_exchange_weak(next_abandoned_, this, prim::release, prim::relaxed)) {
  }
}

void pool_core::release() noexcept {
  if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
}

worker* pool_core::worker_among(void* const* thread_values) const noexcept {
  auto* const w =
      static_cast<worker*>(thread_values[static_cast<unsigned>(prim::thread_slot::worker)]);
  return w != nullptr && &w->core == this ? w : nullptr;
}

worker* pool_core::this_worker() const noexcept { return worker_among(prim::thread_values()); }

std::optional<unsigned> pool_core::worker_index() const noexcept {
  const worker* const w = this_worker();
  return w == nullptr ? std::nullopt : std::optional(w->index);
}

unsigned pool_core::index_limit() const noexcept { return most_slots_ + options_.max_spares; }

// The wrapper of a job whose times are measured.
struct pool_core::timed_job final : job {
  timed_job(pool_core& c, job* j) noexcept : job(&act), core(c), inner(j) {}

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<timed_job*>(j);
    const bool counts = v == verb::run && !is_tombstone(self->inner);
    const auto begun = prim::clock::now();
    self->inner->run(self->inner, v);
    if (counts) self->record(begun, prim::clock::now());
    delete self;
  }

  void record(prim::time_point begun, prim::time_point ended) noexcept {
    const prim::scoped_lock lock(core.threads_mutex_);
    task_times& t = core.times_;
    ++t.tasks;
    t.wait_total += begun - submitted;
    t.wait_max = std::max<std::chrono::nanoseconds>(t.wait_max, begun - submitted);
    t.run_total += ended - begun;
    t.run_max = std::max<std::chrono::nanoseconds>(t.run_max, ended - begun);
  }

  pool_core& core;
  job* const inner;
  const prim::time_point submitted = prim::clock::now();
};

job_chain pool_core::with_times(const job_chain& chain) noexcept {
  job_chain timed;
  job* j = chain.first;
  do {
    job* const rest = j == chain.last ? nullptr : j->next;
    job* const wrapped = new (std::nothrow) timed_job(*this, j);
    if (wrapped != nullptr) {
      wrapped->level.store(j->level.load(prim::relaxed), prim::relaxed);
      wrapped->droppable = j->droppable;
    }
    timed.append(wrapped != nullptr ? wrapped : j);  // without memory it goes unmeasured
    j = rest;
  } while (j != nullptr);
  return timed;
}

// Work comes from inside only while a task of the pool is there to submit it; hooks are outside.
bool pool_core::inside_task(void* const* thread_values) const noexcept {
  const worker* const w = worker_among(thread_values);
  if (w != nullptr) return w->depth != 0;
  const auto* const frame = static_cast<const caller_frame*>(
      thread_values[static_cast<unsigned>(prim::thread_slot::caller_of)]);
  return frame != nullptr && frame->core == this;
}

bool pool_core::enqueue(const job_chain& given) noexcept {
  const std::size_t count = given.size;
  if (bounded_) {
    mark_droppable(given, false);  // the rest of a bulk, say, which was submitted once
    enter_queue(count);
  }
  if (place(given) == submission::accepted) return true;
  if (bounded_) leave_queue(count);
  return false;
}

// Into the queue where the chain belongs, or discards it.
submission pool_core::place(const job_chain& chain) noexcept {
  if (options_.measure_times) [[unlikely]]
    return put(with_times(chain));
  return put(chain);
}

submission pool_core::put(const job_chain& chain) noexcept {
  void* const* const mine = prim::thread_values();
  worker* const w = worker_among(mine);
  const unsigned level = level_of(*chain.first, w);
  const bool inside = inside_task(mine);
  const auto origin = inside ? job_queue::origin::inside : job_queue::origin::outside;
  // After the stop only a task that destroyed its own pool is left.
  bool accepted = !stopping_.load(prim::acquire);
  if (!accepted) {
  } else if ((level & ~inherited_level) != normal_level) {
    accepted = push_to_lane(level, chain, origin);
  } else if (inside && w != nullptr && w->held != nullptr && !fifo_) {
    push_local(*w->held, chain);
  } else {
    const auto number =
        reinterpret_cast<std::uintptr_t>(mine[static_cast<unsigned>(prim::thread_slot::number)]);
    accepted = injected_.push(chain, origin, number != 0 ? number : prim::thread_number());
  }
  if (accepted) {
    notify();
    return submission::accepted;
  }
  discard_chain(chain);
  return submission::closed;
}

// What was said about the job, else that of the task that submits it, else normal.
unsigned pool_core::level_of(job& first, const worker* w) const noexcept {
  if (fifo_) {
    if (first.level.load(prim::relaxed) != 0) first.level.store(0, prim::relaxed);
    return normal_level;
  }
  const unsigned said = first.level.load(prim::relaxed);
  if (said != 0 && (said & inherited_level) == 0) return said;
  if (w == nullptr || w->mark.level == 0) {
    if (said != 0) first.level.store(0, prim::relaxed);
    return normal_level;
  }
  return w->mark.level | inherited_level;
}

submission pool_core::submit(const job_chain& given) noexcept {
  if (bounded_) {
    mark_droppable(given, true);
    const submission a = admit(given);
    if (a != submission::accepted) {
      if (a != submission::ran_in_caller) discard_chain(given);
      return a;
    }
  }
  const submission a = place(given);
  if (a != submission::accepted && bounded_) leave_queue(given.size);
  return a;
}

// A child with fewer cores has fewer slots than its parent, for which the number was right.
submission pool_core::submit_to(unsigned number, job* j) noexcept {
  number %= slots_made_.load(prim::acquire);
  job_chain chain;
  chain.append(j);
  if (bounded_) {
    j->droppable = true;
    const submission a = admit(chain);
    if (a != submission::accepted) {
      if (a != submission::ran_in_caller) discard_chain(chain);
      return a;
    }
  }
  if (options_.measure_times) chain = with_times(chain);
  slot& s = *slot_table_[number];
  const auto origin =
      inside_task(prim::thread_values()) ? job_queue::origin::inside : job_queue::origin::outside;
  if (!stopping_.load(prim::acquire) && s.inbox.push(chain, origin)) {
    wake_slot(s);
    return submission::accepted;
  }
  if (bounded_) leave_queue(1);
  discard_chain(chain);
  return submission::closed;
}

void pool_core::mark_droppable(const job_chain& chain, bool droppable) noexcept {
  job* j = chain.first;
  do {
    j->droppable = droppable;
    j = j->next;
  } while (j != nullptr);
}

void pool_core::discard_chain(const job_chain& chain) noexcept {
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j == chain.last ? nullptr : j->next;
    discard_on_trampoline(j);
    j = rest;
  }
}

void pool_core::push_local(slot& s, const job_chain& chain) noexcept {
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j == chain.last ? nullptr : j->next;
    s.submitted.add();
    try {
      s.deque.push(j);
    } catch (const std::bad_alloc&) {
      // The deque cannot grow; the shared queue needs no memory. Counted already.
      job_chain one;
      one.append(j);
      injected_.take_over(one);
    }
    j = rest;
  }
}

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

// The entry of a task that was run, or given up, ahead of its turn.
bool pool_core::is_tombstone(const job* j) noexcept {
  if (j->run == &timed_job::act) j = static_cast<const timed_job*>(j)->inner;
  return j->spent.load(prim::acquire);
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
