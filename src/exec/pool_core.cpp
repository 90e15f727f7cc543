#include "pool_core.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>
#include <utility>

#include <heddle/kernel/quota.hpp>
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

}  // namespace

pool_core::pool_core(thread_pool_options options)
    : options_(std::move(options)),
      fifo_(options_.schedule == scheduling::fifo),
      follows_cores_(options_.workers == 0) {
  if (options_.workers > most_workers) {
    throw std::invalid_argument("thread_pool: " + std::to_string(options_.workers) +
                                " workers; the most is " + std::to_string(most_workers));
  }
  if (options_.max_spares > most_workers) {
    throw std::invalid_argument("thread_pool: max_spares " + std::to_string(options_.max_spares) +
                                "; the most is " + std::to_string(most_workers));
  }
  if (options_.spare_keep_alive.count() < 0 || options_.stuck_after.count() < 0) {
    throw std::invalid_argument("thread_pool: a negative duration in the options");
  }
  if (options_.core_count == nullptr) options_.core_count = &cores_of_this_process;

  fail_when_starved_.store(options_.when_starved == at_spare_cap::fail, prim::relaxed);

  // A pool that follows the cores has a slot for each that it might be given.
  const unsigned wanted = follows_cores_ ? std::max(1u, options_.core_count()) : options_.workers;
  const unsigned most =
      follows_cores_ ? std::max(wanted, prim::thread::hardware_concurrency()) : wanted;
  cores_read_at_.store(prim::clock::now().time_since_epoch().count(), prim::relaxed);
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
    const auto begun = prim::clock::now();
    self->inner->run(self->inner, v);
    if (v == verb::run) self->record(begun, prim::clock::now());
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

bool pool_core::enqueue(const job_chain& given) noexcept {
  job_chain chain = given;
  if (options_.measure_times) {
    job_chain timed;
    for (job* j = chain.first; j != nullptr;) {
      job* const rest = j == chain.last ? nullptr : j->next;
      job* const wrapped = new (std::nothrow) timed_job(*this, j);
      timed.append(wrapped != nullptr ? wrapped : j);  // without memory it goes unmeasured
      j = rest;
    }
    chain = timed;
  }
  worker* const w = this_worker();
  if (w == nullptr) {
    if (!injected_.push(chain, job_queue::origin::outside)) {
      for (job* j = chain.first; j != nullptr;) {
        job* const rest = j->next;
        j->run(j, verb::discard);
        j = rest;
      }
      return false;
    }
  } else if (w->held != nullptr && !fifo_) {
    push_local(*w->held, chain);
  } else {
    injected_.push(chain, job_queue::origin::inside);
  }
  notify();
  return true;
}

bool pool_core::enqueue_to(unsigned number, job* j) noexcept {
  job_chain chain;
  chain.append(j);
  slot& s = *slots_[number];
  const auto from =
      this_worker() == nullptr ? job_queue::origin::outside : job_queue::origin::inside;
  if (!s.inbox.push(chain, from)) {
    j->run(j, verb::discard);
    return false;
  }
  wake_slot(s);
  return true;
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
    while (w.held != nullptr) {
      job* const j = next_job(w);
      if (j == nullptr) return;
      execute(w, j);
    }
    if (!wait_as_spare(w)) return;
  }
}

// The next job for this thread, asleep until there is one; null when the pool stops.
job* pool_core::next_job(worker& w) noexcept {
  slot& s = *w.held;
  for (bool after_sleep = false;; after_sleep = true) {
    if (stopping_.load(prim::acquire)) return nullptr;
    if (follows_cores_) follow_core_count(s, after_sleep);
    job* j = own_job(s);
    if (j == nullptr && s.number < limit_.load(prim::relaxed)) {
      if (!w.searching) {
        w.searching = true;
        state_.searcher_appears();
      }
      j = stolen_job(s);
    }
    if (j != nullptr) {
      end_search(w);
      return j;
    }
    sleep(w);
  }
}

job* pool_core::own_job(slot& s) noexcept {
  ++s.tick;
  if (job* const j = s.inbox.pop()) return j;
  if (s.number >= limit_.load(prim::relaxed)) {
    give_away_deque(s);
    return nullptr;
  }
  job* j = nullptr;
  if (s.tick % fairness_interval == 0 && (j = injected_.pop()) != nullptr) return j;
  if (s.deque.pop(j)) return j;
  return injected_.pop();
}

job* pool_core::stolen_job(slot& s) noexcept {
  const auto count = static_cast<std::uint32_t>(slots_.size());
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
    if (job* const j = injected_.pop()) return j;
  }
  return nullptr;
}

void pool_core::give_away_deque(slot& s) noexcept {
  job_chain chain;
  job* j = nullptr;
  while (s.deque.pop(j)) chain.append(j);
  if (chain.size == 0) return;
  injected_.take_over(chain);
  notify();
}

void pool_core::execute(worker& w, job* j) noexcept {
  if (w.held != nullptr) {
    w.held->started.add();
  } else {
    started_.add();
  }
  ++w.depth;
  if (cancelling_.load(prim::acquire)) {
    discarded_.add();
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

bool pool_core::any_work() const noexcept {
  if (injected_.size() != 0) return true;
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
    r.idle = state_.sleepers() - orphans_;
  }
  const prim::scoped_lock lock(threads_mutex_);
  r.times = times_;
  return r;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
