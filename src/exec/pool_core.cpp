// The pool as such, in this process and its children, and how work comes in.

#include "pool_core.hpp"
#include "pool_sizing.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/future/state.hpp>
#include <heddle/kernel/topology.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Beyond any machine, and far below what would exhaust memory.
constexpr unsigned most_workers = 1u << 16;

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
      made->retain();  // what refers to this core is posted there, also when that pool has ended
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

// The entry of a task that was run, or given up, ahead of its turn.
bool pool_core::is_tombstone(const job* j) noexcept {
  if (j->run == &timed_job::act) j = static_cast<const timed_job*>(j)->inner;
  return j->spent.load(prim::acquire);
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

}  // namespace heddle::inline HEDDLE_ABI::detail
