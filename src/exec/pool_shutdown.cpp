// The end of all tasks, and of the pool: docs/protocols/pool_shutdown.md.

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include <heddle/base/task_name.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/prim/thread_local.hpp>

#include "pool_core.hpp"
#include "pool_sizing.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// Jobs accepted and not finished, and visits begun and not ended. Zero means: at the moment between
// the two sums there were none.
std::uint64_t pool_core::in_flight() const noexcept {
  std::uint64_t finished = completed_.read() + visits_ended();
  for (const auto& s : slots()) finished += s->completed.read();
  std::uint64_t accepted = injected_.pushed() + submitted_.read() + visits_begun();
  for (const lane& l : lanes_) accepted += l.queue.pushed();
  for (const auto& s : slots()) accepted += s->submitted.read() + s->inbox.pushed();
  return accepted - finished;
}

// Called when a thread runs out of work, and by whoever begins to wait. Outside waiters wait until
// nothing is left; a task that waits is itself left, so it waits until nothing is left but tasks
// that wait like it. Under the mutex those stay what they are, and in_flight() is never less than
// what was in flight at a moment between its sums: if the numbers agree, that moment was quiet.
void pool_core::check_quiet() noexcept {
  prim::fence(prim::seq_cst);
  if (quiet_waiters_.load(prim::relaxed) == 0) return;
  {
    const prim::scoped_lock lock(quiet_mutex_);
    const std::uint64_t left = in_flight();
    if (left != waiting_tasks_) return;
    quiet_moments_.fetch_add(1, prim::acq_rel);
    if (left == 0) empty_moments_.fetch_add(1, prim::acq_rel);
  }
  quiet_event_.notify_all();
}

bool pool_core::wait_idle(prim::time_point deadline) {
  const bool is_inside = inside_task(prim::thread_values());
  struct registration {
    pool_core& core;
    const unsigned tasks;
    registration(pool_core& c, bool inside) noexcept : core(c), tasks(inside ? 1 : 0) {
      core.quiet_waiters_.fetch_add(1, prim::seq_cst);
      const prim::scoped_lock lock(core.quiet_mutex_);
      core.waiting_tasks_ += tasks;
    }
    ~registration() {
      core.quiet_waiters_.fetch_sub(1, prim::relaxed);
      const prim::scoped_lock lock(core.quiet_mutex_);
      core.waiting_tasks_ -= tasks;
    }
  } const registered(*this, is_inside);
  const prim::atomic<std::uint64_t>& moments = is_inside ? quiet_moments_ : empty_moments_;
  const std::uint64_t before = moments.load(prim::acquire);
  check_quiet();
  return quiet_event_.await_until(deadline, [&] { return moments.load(prim::acquire) != before; });
}

shutdown_report pool_core::shutdown(shutdown_mode mode, prim::time_point deadline) {
  injected_.close();
  for (lane& l : lanes_) l.queue.close();
  {
    const prim::scoped_lock lock(threads_mutex_);
    inboxes_closed_ = true;
    for (const auto& s : slots()) s->inbox.close();
  }
  closing_.store(true, prim::seq_cst);
  room_.notify_all();
  if (mode == shutdown_mode::cancel) {
    cancelling_.store(true, prim::seq_cst);
    stop_.request_stop();
    discard_queued();
  }
  if (!wait_idle(deadline)) return report(false);
  if (this_worker() != nullptr) return report(true);
  stop_workers();
  return report(wait_until_stopped(deadline));
}

// Gives up what is queued at this moment, in one pass: every worker may be busy. What comes behind
// is discarded by the workers.
void pool_core::discard_queued() noexcept {
  for (std::size_t n = injected_.size(); n != 0; --n) {
    if (job* const j = injected_.pop()) discard(j);
  }
  for (std::size_t n = lane_jobs_.load(prim::acquire); n != 0; --n) {
    if (job* const j = any_lane_job()) discard(j);
  }
  for (const auto& s : slots()) {
    for (std::size_t n = s->inbox.size(); n != 0; --n) {
      if (job* const j = s->inbox.pop()) discard(j);
    }
    for (std::size_t n = s->deque.size(); n != 0;) {
      job* j = nullptr;
      const auto result = s->deque.steal(j);
      if (result == ws_deque<job*>::theft::empty) break;
      --n;  // whoever won a lost race discards it
      if (result == ws_deque<job*>::theft::success) discard(j);
    }
  }
}

void pool_core::discard(job* j) noexcept {
  started_.add();
  if (bounded_) leave_queue(1);
  if (!is_tombstone(j)) discarded_.add();
  const unsigned level = j->level.load(prim::relaxed) & ~inherited_level;
  j->run(j, verb::discard);
  count_completed(level);
  completed_.add();
}

void pool_core::stop_workers() noexcept {
  {
    const prim::scoped_lock lock(threads_mutex_);
    no_more_threads_ = true;
  }
  const prim::scoped_lock lock(sleep_mutex_);
  stopping_.store(true, prim::release);
  for (const auto& s : slots_in_use()) {
    if (s->where != slot::place::idle) continue;
    remove_idle(*s);
    state_.sleeper_leaves();
    s->where = slot::place::held;
    if (s->holder != nullptr) s->holder->parker.unpark();
  }
  while (spares_ != nullptr) take_spare()->parker.unpark();
  if (sizer_ != nullptr) sizer_->wake();
}

// True when every thread has left and been joined.
bool pool_core::wait_until_stopped(prim::time_point deadline) {
  const auto all_left = [this] {
    const prim::scoped_lock lock(threads_mutex_);
    return joining_ == 0 && (sizer_ == nullptr || sizer_->has_left()) &&
           std::ranges::all_of(workers_, [](const auto& w) { return w->has_left; });
  };
  if (!stopped_event_.await_until(deadline, all_left)) return false;
  join_left_threads();
  return stopped_event_.await_until(deadline, all_left);  // another caller may be joining
}

shutdown_report pool_core::report(bool completed) noexcept {
  shutdown_report r;
  r.completed = completed;
  if (completed) return r;
  try {
    r.queued = injected_.size();
    for (const lane& l : lanes_) r.queued += l.queue.size();
    for (const auto& s : slots()) r.queued += s->deque.size() + s->inbox.size();
    const worker* const self = this_worker();
    const prim::scoped_lock lock(threads_mutex_);
    for (const auto& w : workers_) {
      const char* const name = w->name.load(prim::relaxed);
      if (w.get() == self || w->has_left || name == nullptr) continue;
      stuck_task t{w->index, std::string(readable_task_name(name)), {}, {}};
      const prim::scoped_lock record_lock(w->record_mutex);
      if (w->waits != nullptr) {
        t.waits_for = describe(w->waits->kind);
        if (w->waits->name != nullptr) t.waits_for += std::string(" (") + w->waits->name + ")";
        t.waiting = prim::clock::now() - w->waits->since;
      }
      r.running.push_back(std::move(t));
    }
  } catch (...) {
    // Without memory the report stays short.
  }
  return r;
}

void pool_core::tell_stuck() noexcept {
  const shutdown_report r = report(false);
  try {
    if (options_.on_stuck) {
      options_.on_stuck(r);
      return;
    }
  } catch (...) {
    report_unhandled(std::current_exception());
    return;
  }
  std::fprintf(stderr, "heddle: the destructor of pool \"%s\" waits; %zu tasks queued\n",
               options_.name.c_str(), r.queued);
  for (const stuck_task& t : r.running) {
    std::fprintf(stderr, "heddle:   worker %u runs %s%s%s\n", t.worker, t.task.c_str(),
                 t.waits_for.empty() ? "" : ", which waits for ", t.waits_for.c_str());
  }
}

void pool_core::drain_for_destruction() {
  if (shutdown(shutdown_mode::drain, prim::deadline_after(options_.stuck_after)).completed) return;
  tell_stuck();
  shutdown(shutdown_mode::drain, prim::never);
}

void pool_core::destroy() noexcept {
  fail_when_starved_.store(false, prim::relaxed);  // a destructor can only wait
  // On a worker of another pool, too, that cannot spare it.
  wait_regardless([this] { drain_for_destruction(); });
  if (this_worker() != nullptr) {
    // The destroying task's thread cannot be joined by itself. It and whoever has not left yet keep
    // the core alive and go when they have nothing more to do.
    stop_workers();
    join_left_threads();
    const prim::scoped_lock lock(threads_mutex_);
    for (const auto& w : workers_) {
      if (w->thread.joinable()) w->thread.detach();
    }
    if (sizer_ != nullptr) sizer_->let_go();
  } else {
    // Nobody calls them any more. Tasks may keep the core, but not what the program has in here.
    options_.on_resize = {};
    options_.on_worker_start = {};
    options_.on_worker_stop = {};
    options_.on_stuck = {};
  }
  release();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
