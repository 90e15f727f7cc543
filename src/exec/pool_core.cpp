#include "pool_core.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>
#include <utility>

#include <heddle/future/state.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/prim/patience.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Beyond any machine, and far below what would exhaust memory.
constexpr unsigned most_workers = 1u << 16;

// Every so many tasks a worker looks at the shared queue first, so that a task that keeps spawning
// cannot starve those that came from outside. A prime, so that it falls out of step with patterns.
constexpr unsigned fairness_interval = 61;

unsigned cores_of_this_process() noexcept {
  try {
    return static_cast<unsigned>(kernel::whole_cores(kernel::usable_cores()));
  } catch (...) {
    return 1;  // no memory to find out
  }
}

// One a worker, in powers of two: enough that submitters rarely meet, few enough to look through.
std::size_t shards_for(const thread_pool_options& options, bool fifo) noexcept {
  if (fifo) return 1;
  const unsigned workers =
      options.workers != 0 ? options.workers : prim::thread::hardware_concurrency();
  return std::clamp<std::size_t>(workers, 1, prim::limits::pool_shards);
}

}  // namespace

pool_core::pool_core(thread_pool_options options)
    : options_(std::move(options)),
      fifo_(options_.schedule == scheduling::fifo),
      follows_cores_(options_.workers == 0),
      spin_(options_.spin),
      injected_(shards_for(options_, fifo_)) {
  if (options_.workers > most_workers) {
    throw std::invalid_argument("thread_pool: " + std::to_string(options_.workers) +
                                " workers; the most is " + std::to_string(most_workers));
  }
  if (options_.max_spares > most_workers) {
    throw std::invalid_argument("thread_pool: max_spares " + std::to_string(options_.max_spares) +
                                "; the most is " + std::to_string(most_workers));
  }
  if (options_.spare_keep_alive.count() < 0 || options_.stuck_after.count() < 0 ||
      options_.spin.count() < 0) {
    throw std::invalid_argument("thread_pool: a negative duration in the options");
  }
  if (options_.core_count == nullptr) options_.core_count = &cores_of_this_process;

  fail_when_starved_.store(options_.when_starved == at_spare_cap::fail, prim::relaxed);

  // A pool that follows the cores has a slot for each that it might be given.
  const unsigned wanted = follows_cores_ ? std::max(1u, options_.core_count()) : options_.workers;
  const unsigned most =
      follows_cores_ ? std::max(wanted, prim::thread::hardware_concurrency()) : wanted;
  cores_read_at_.store(prim::clock::now().time_since_epoch().count(), prim::relaxed);
  reading_cores_.store(true, prim::relaxed);  // nobody changes the limit until all is in place
  for (unsigned i = 0; i < most; ++i) slots_.push_back(std::make_unique<slot>(i));
  limit_.store(wanted, prim::relaxed);
  try {
    for (unsigned i = 0; i < wanted; ++i) {
      {
        const prim::scoped_lock lock(sleep_mutex_);
        slots_[i]->where = slot::place::held;
        peak_threads_ = ++threads_;
      }
      start_worker(*slots_[i], false);
    }
  } catch (...) {
    stop_workers();
    wait_until_stopped(prim::never);
    throw;
  }
  reading_cores_.store(false, prim::release);
}

pool_core::~pool_core() = default;

void pool_core::release() noexcept {
  if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
}

worker* pool_core::this_worker() const noexcept {
  auto* const w = static_cast<worker*>(prim::thread_value(prim::thread_slot::worker));
  return w != nullptr && &w->core == this ? w : nullptr;
}

std::optional<unsigned> pool_core::worker_index() const noexcept {
  const worker* const w = this_worker();
  return w == nullptr ? std::nullopt : std::optional(w->index);
}

unsigned pool_core::index_limit() const noexcept {
  return static_cast<unsigned>(slots_.size()) + options_.max_spares;
}

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
  if (!options_.measure_times) return chain;
  job_chain timed;
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j == chain.last ? nullptr : j->next;
    job* const wrapped = new (std::nothrow) timed_job(*this, j);
    timed.append(wrapped != nullptr ? wrapped : j);  // without memory it goes unmeasured
    j = rest;
  }
  return timed;
}

// Work comes from inside only while a task of the pool is there to submit it; hooks are outside.
job_queue::origin pool_core::origin_of(const worker* w) const noexcept {
  return w != nullptr && w->depth != 0 ? job_queue::origin::inside : job_queue::origin::outside;
}

bool pool_core::enqueue(const job_chain& given) noexcept {
  const job_chain chain = with_times(given);
  worker* const w = this_worker();
  const auto origin = origin_of(w);
  // After the stop only a task that destroyed its own pool is left.
  bool accepted = !stopping_.load(prim::acquire);
  if (accepted && origin == job_queue::origin::inside && w->held != nullptr && !fifo_) {
    push_local(*w->held, chain);
  } else if (accepted) {
    accepted = injected_.push(chain, origin);
  }
  if (accepted) {
    notify();
    return true;
  }
  for (job* j = chain.first; j != nullptr;) {
    job* const rest = j == chain.last ? nullptr : j->next;
    discard_on_trampoline(j);
    j = rest;
  }
  return false;
}

bool pool_core::enqueue_to(unsigned number, job* j) noexcept {
  job_chain chain;
  chain.append(j);
  chain = with_times(chain);
  slot& s = *slots_[number];
  if (!stopping_.load(prim::acquire) && s.inbox.push(chain, origin_of(this_worker()))) {
    wake_slot(s);
    return true;
  }
  discard_on_trampoline(chain.first);
  return false;
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
    while (job* const j = next_job(w)) execute(w, j);
    if (stopping_.load(prim::acquire) || !wait_as_spare(w)) return;
  }
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
        j = stolen_job(s);
        if (j == nullptr) j = awaited_job(s);
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
  // Now and then the eldest go first: a task that keeps submitting, here or in front of others,
  // must not keep them waiting for ever.
  if (++s.tick % fairness_interval == 0) {
    if ((j = injected_.pop(s.number)) != nullptr) return j;
    if (s.deque.steal(j) == ws_deque<job*>::theft::success) return j;
  }
  if ((j = s.inbox.pop()) != nullptr) return j;
  if (s.deque.pop(j)) return j;
  bool busy = false;
  return injected_job(s, busy);
}

// From the shared queues: a worker takes its share of what is there, up to a batch, runs the first
// and keeps the others where everybody can steal them. They go into the deque newest first, so that
// the owner pops them in the order in which they came.
job* pool_core::injected_job(slot& s, bool& busy) noexcept {
  if (fifo_) return injected_.pop();
  job* batch[prim::limits::pool_batch];
  const std::size_t taken = injected_.take(s.number, batch, size(), busy);
  if (taken == 0) return nullptr;
  if (taken == 1) return batch[0];
  for (std::size_t i = taken - 1; i != 0; --i) {
    try {
      s.deque.push(batch[i]);
    } catch (const std::bad_alloc&) {
      job_chain one;
      one.append(batch[i]);
      injected_.take_over(one);
    }
  }
  notify();  // for whoever fell asleep while they were in nobody's queue
  return batch[0];
}

job* pool_core::stolen_job(slot& s) noexcept {
  const auto count = static_cast<std::uint32_t>(slots_.size());
  prim::patience spin;
  for (bool again = true; again;) {
    again = false;
    const std::uint32_t start = s.random.below(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      slot& victim = *slots_[(start + i) % count];
      if (&victim == &s || victim.deque.empty()) continue;
      s.steal_attempts.add();
      job* j = nullptr;
      switch (victim.deque.steal(j)) {
        case ws_deque<job*>::theft::success:
          s.steals.add();
          return j;
        case ws_deque<job*>::theft::lost:
          again = true;
          break;
        case ws_deque<job*>::theft::empty:
          break;
      }
    }
    bool busy = false;
    if (job* const j = injected_job(s, busy)) return j;
    if (busy) {
      again = true;
      spin.wait();  // for a lock that somebody holds for a moment
    }
  }
  return nullptr;
}

// Looks out for work for a while before the thread goes to sleep. It looks from time to time only:
// whoever watches a queue all the time takes its line away from those who fill it, and finds jobs
// one by one instead of in batches.
job* pool_core::awaited_job(slot& s) noexcept {
  if (spin_ == spin_.zero() || state_.searchers() != 1) return nullptr;
  constexpr unsigned pauses_between_looks = 16;
  constexpr unsigned looks_between_clocks = 4;
  const auto end = prim::clock::now() + spin_;
  do {
    for (unsigned look = 0; look < looks_between_clocks; ++look) {
      for (unsigned i = 0; i < pauses_between_looks; ++i) prim::pause();
      if (stopping_.load(prim::relaxed) || !s.inbox.empty()) return s.inbox.pop();
      if (!any_work()) continue;
      if (job* const j = stolen_job(s)) return j;
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
  ++w.depth;
  if (cancelling_.load(prim::acquire)) {
    if (!is_tombstone(j)) discarded_.add();
    j->run(j, verb::discard);
  } else {
    j->run(j, verb::run);
  }
  --w.depth;
  // The thread may have lost its slot, or got another, while it ran.
  if (w.held != nullptr) {
    w.held->completed.add();
  } else {
    completed_.add();
  }
}

// The entry of a task that was run, or given up, ahead of its turn.
bool pool_core::is_tombstone(const job* j) noexcept {
  if (j->run == &timed_job::act) j = static_cast<const timed_job*>(j)->inner;
  return j->spent.load(prim::acquire);
}

// Entries of tasks that a waiter ran itself must not pile up while its own task goes on. In the
// deque they are the newest, once those above them have been waited for too; in the shared queue
// they are swept out when they may be half of it.
void pool_core::bury_tombstones(worker& w) noexcept {
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
  constexpr std::size_t fewest = 64;
  const std::size_t buried = injected_tombstones_.fetch_add(1, prim::relaxed) + 1;
  if (buried < fewest || buried < injected_.size() / 2) return;
  injected_tombstones_.store(0, prim::relaxed);
  const job_chain swept = injected_.take_if(&is_tombstone);
  for (j = swept.first; j != nullptr;) {
    job* const rest = j->next;
    execute(w, j);
    j = rest;
  }
}

bool pool_core::any_work() const noexcept {
  // Pairs with the fence of notify(): whoever has changed the word and finds nothing here is seen,
  // in the word, by whoever submits afterwards.
  prim::fence(prim::seq_cst);
  if (!injected_.empty()) return true;
  return std::ranges::any_of(slots_, [](const auto& s) { return !s->deque.empty(); });
}

pool_statistics pool_core::statistics() {
  pool_statistics r;
  // In this order, so that completed <= started <= submitted.
  r.completed = completed_.read();
  for (const auto& s : slots_) r.completed += s->completed.read();
  r.started = started_.read();
  for (const auto& s : slots_) r.started += s->started.read();
  r.submitted = injected_.pushed();
  for (const auto& s : slots_) {
    r.submitted += s->submitted.read() + s->inbox.pushed();
    r.steal_attempts += s->steal_attempts.read();
    r.steals += s->steals.read();
  }
  r.discarded = discarded_.read();
  r.helped = helped_.read();
  r.blocked = blocked_.read();
  r.starved = starved_.read();
  r.wakeups = wakeups_.read();
  r.injected = injected_.size();
  r.workers = size();
  for (unsigned i = 0; i < r.workers; ++i) {
    r.queue_sizes.push_back(slots_[i]->deque.size() + slots_[i]->inbox.size());
  }
  const auto [low, high] = std::ranges::minmax(r.queue_sizes);
  r.min_queue = low;
  r.max_queue = high;
  if (high != 0) r.load_balance = static_cast<double>(low) / static_cast<double>(high);
  {
    const prim::scoped_lock lock(sleep_mutex_);
    r.threads = threads_;
    r.peak_threads = peak_threads_;
    r.idle = state_.sleepers() - orphan_count_;
  }
  const prim::scoped_lock lock(threads_mutex_);
  r.times = times_;
  return r;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
