// The pool's threads: what each installs, how it begins and how it leaves.

#include <algorithm>
#include <cstdio>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/probe/wait_board.hpp>

#include "fresh_turns.hpp"
#include "pool_core.hpp"
#include "pool_sizing.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

worker::worker(pool_core& pool, slot* s, unsigned i) noexcept
    : core(pool), index(i), held(s), mark(&pool.quiet_event_, pool.options_.name.c_str()) {
  in_child = &worker::forked;
}

void worker::main() noexcept {
  install();
  take_place();
  take_rank();
  // A hook may take long, and may wait; whoever relies on this thread's search must not.
  core.end_search(*this);
  call(core.options_.on_worker_start);
  core.run(*this);
  call(core.options_.on_worker_stop);
  uninstall();
  pool_core& pool = core;
  pool.left(*this);
  pool.release();  // may end this worker, too
}

void worker::install() noexcept {
  // The kernel keeps 15 bytes; the number is what tells workers apart.
  char number[16];
  const auto digits = static_cast<std::size_t>(std::snprintf(number, sizeof number, "/%u", index));
  char text[16] = {};
  const std::size_t length = std::min(core.options_.name.size(), sizeof text - 1 - digits);
  std::copy_n(number, digits, std::copy_n(core.options_.name.data(), length, text));
  prim::set_thread_name(text);
  if (core.sizer_ != nullptr) kernel_id.store(prim::kernel_thread_id(), prim::relaxed);
  prim::thread_value(prim::thread_slot::worker) = this;
  prim::thread_value(prim::thread_slot::task_name) = static_cast<task_name_sink*>(this);
  prim::thread_value(prim::thread_slot::task) = static_cast<running_task*>(&mark);
  show_worker(&mark);
  prim::thread_value(prim::thread_slot::fork_hook) = static_cast<prim::fork_hook*>(this);
  exchange_blocking_delegate(this);
}

// Where the kernel refuses what was found possible at the construction of the pool, the thread
// works all the same; `misplaced` tells.
void worker::take_place() noexcept {
  if (held == nullptr || core.cpus_.empty() || bound_to == core.cpus_[held->number]) return;
  bound_to = core.cpus_[held->number];
  try {
    prim::bind_this_thread(bound_to);
  } catch (...) {
    core.misplaced_.add();
  }
}

void worker::take_rank() noexcept {
  if (core.options_.thread_priority == prim::thread_priority{}) return;
  try {
    prim::set_this_thread_priority(core.options_.thread_priority);
  } catch (...) {
    core.misplaced_.add();
  }
}

// The child's only thread is no worker: it gets the CPUs back that the pool's maker had, and should
// its task return, it finds that the pool has stopped. What it forks from here on goes elsewhere.
void worker::forked(prim::fork_hook* self) noexcept {
  pool_core& core = static_cast<worker*>(self)->core;
  core.stopping_.store(true, prim::relaxed);
  prim::thread_value(prim::thread_slot::fork_lane) = nullptr;
  try {
    if (!core.allowed_.empty()) prim::bind_this_thread(core.allowed_);
  } catch (...) {
    core.misplaced_.add();  // it stays where the worker was
  }
}

// Destructors of the program's thread-local objects run after this, when the pool may be gone.
void worker::uninstall() noexcept {
  exchange_blocking_delegate(nullptr);
  prim::thread_value(prim::thread_slot::fork_hook) = nullptr;
  prim::thread_value(prim::thread_slot::task_name) = nullptr;
  show_worker(nullptr);
  prim::thread_value(prim::thread_slot::task) = nullptr;
  prim::thread_value(prim::thread_slot::worker) = nullptr;
  if (lane != nullptr) lane->disown();
}

void worker::call(const hook<unsigned>& h) noexcept {
  if (!h) return;
  try {
    h(index);
  } catch (...) {
    report_unhandled(std::current_exception());
  }
}

// The waiting worker runs the awaited task, and nothing else: whatever else it took up could itself
// wait for what this thread does next.
void worker::help(executor_ref home, job* j) noexcept {
  if (!core.is_of_this_process()) return;
  if (home.self != &core || home.post_job != pool_executor_post) return;
  if (depth == 0) return;  // in a hook: the task would run uncounted
  // Awaited tasks that await tasks are piled on this stack. A deep pile goes on in a spare's stack.
  constexpr unsigned deep = 256;
  if (depth >= deep && core.spare_available()) return;
  run_ahead(j);
}

bool worker::run_ahead(job* j) noexcept {
  if (core.cancelling_.load(prim::acquire)) {
    core.discard_queued();  // with the awaited one: nobody may be free to do it
    return false;
  }
  core.helped_.add();
  const unsigned its = j->level.load(prim::relaxed) & ~inherited_level;
  const std::uint8_t outer = mark.level.exchange(static_cast<std::uint8_t>(its));
  ++depth;
  {
    const fresh_turns inside;
    j->run(j, verb::help);
  }
  --depth;
  mark.level = outer;
  core.bury_tombstones(*this, its);
  return true;
}

bool worker::run_if_newest(job* j) noexcept {
  if (!take_if_newest(j)) return false;
  const fresh_turns inside;
  core.execute(*this, j);
  return true;
}

bool worker::take_if_newest(const job* wanted) noexcept {
  job* j = nullptr;
  if (held == nullptr || core.fifo_ || !held->deque.pop(j)) return false;
  if (j == wanted) return true;
  held->deque.push(j);  // into the place where it was: cannot fail
  core.notify();        // a thread that went to sleep meanwhile has not seen it
  return false;
}

// In a child that was forked off by a task, or inside a blocking_scope, the pool is elsewhere.
void worker::enter(wait_record& record) {
  if (!core.is_of_this_process()) return;
  {
    const prim::scoped_lock lock(record_mutex);
    waits = &record;
  }
  try {
    core.enter_wait(*this);
  } catch (...) {
    const prim::scoped_lock lock(record_mutex);
    waits = nullptr;
    throw;
  }
}

void worker::leave(wait_record&) noexcept {
  if (!core.is_of_this_process()) return;
  core.leave_wait(*this);
  const prim::scoped_lock lock(record_mutex);
  waits = nullptr;
}

// Starts a thread that holds the slot; its place among threads_ is taken already.
// Throws std::system_error, std::bad_alloc, rejected when the pool has stopped.
void pool_core::start_worker(slot& s, bool searching) {
  const prim::scoped_lock lock(threads_mutex_);
  if (no_more_threads_) throw rejected("thread_pool: stopped");
  const auto unused = std::ranges::find(indexes_, false);
  const auto index = static_cast<unsigned>(unused - indexes_.begin());
  if (unused == indexes_.end()) indexes_.push_back(false);
  workers_.reserve(workers_.size() + 1);
  auto made = std::make_unique<worker>(*this, &s, index);
  worker* const w = made.get();
  w->searching = searching;
  {
    const prim::scoped_lock sleep_lock(sleep_mutex_);
    s.holder = w;
  }
  references_.fetch_add(1, prim::relaxed);
  try {
    w->thread = prim::thread([w] { w->main(); });
  } catch (...) {
    references_.fetch_sub(1, prim::relaxed);
    const prim::scoped_lock sleep_lock(sleep_mutex_);
    s.holder = nullptr;
    throw;
  }
  indexes_[index] = true;
  workers_.push_back(std::move(made));
}

// For a slot that adopter_for() handed out. Without a thread it is an orphan again, or, should the
// limit have fallen meanwhile, not in use.
bool pool_core::try_start_worker(slot& s) noexcept {
  bool refused = false;
  try {
    start_worker(s, true);
    return true;
  } catch (const rejected&) {
    // The pool has stopped.
  } catch (...) {
    refused = true;
  }
  bool another = false;
  {
    const prim::scoped_lock lock(sleep_mutex_);
    --threads_;
    if (s.number < limit_.load(prim::relaxed)) {
      push_idle(s);
      state_.searcher_falls_asleep();
    } else {
      give_away_deque(s);  // what the task submitted whose thread waits
      give_away_inbox(s);
      s.where = slot::place::unstarted;
      state_.searcher_leaves();
      lower_reach();
    }
    another = idle_ != nullptr || spares_ != nullptr;
  }
  if (refused) {
    starved_.add();
    refused_threads_.add();
  }
  // Who submitted meanwhile relied on this searcher. Only a thread that exists can help.
  if (another && any_work()) notify();
  return false;
}

// The last that a thread does with the pool but for giving up its reference. It joins those that
// left before it: submitters shall not wait for the ends of threads.
void pool_core::left(worker& w) noexcept {
  join_left_threads();
  {
    const prim::scoped_lock lock(threads_mutex_);
    indexes_[w.index] = false;
  }
  {
    const prim::scoped_lock lock(sleep_mutex_);
    --threads_;
    if (w.leaving) --leaving_;
  }
  if (!stopping_.load(prim::acquire)) look_again();  // there is room for another thread
  {
    const prim::scoped_lock lock(threads_mutex_);
    w.has_left = true;
  }
  stopped_event_.notify_all();
}

void pool_core::join_left_threads() noexcept {
  if (sizer_ != nullptr) sizer_->join_if_left();
  for (;;) {
    std::unique_ptr<worker> gone;
    {
      const prim::scoped_lock lock(threads_mutex_);
      const auto at = std::ranges::find_if(
          workers_, [](const auto& w) { return w->has_left && w->thread.joinable(); });
      if (at == workers_.end()) return;
      gone = std::move(*at);
      workers_.erase(at);
      ++joining_;
    }
    gone->thread.join();
    {
      const prim::scoped_lock lock(threads_mutex_);
      --joining_;
    }
    stopped_event_.notify_all();
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
