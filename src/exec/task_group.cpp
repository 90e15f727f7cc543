// Groups of tasks: docs/protocols/fork_join.md.

#include <heddle/exec/task_group.hpp>

#include <stdexcept>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace detail {

// A thread that waits for a group's end; or, when it is hungry, for a task that it could run.
struct group_sleeper {
  explicit group_sleeper(bool is_hungry) noexcept : hungry(is_hungry) {}

  completion called;
  const bool hungry;
  group_sleeper* next = nullptr;
};

namespace {

// While a task is on its way into the pool's queue. The pool discards on the same thread what it
// refuses, and that is no loss: whoever offers is told.
class offer_scope {
 public:
  explicit offer_scope(const group_task& task) noexcept
      : slot_(prim::thread_value(prim::thread_slot::offered_task)), before_(slot_), task_(task) {
    slot_ = this;
  }
  ~offer_scope() { slot_ = before_; }
  offer_scope(const offer_scope&) = delete;
  offer_scope& operator=(const offer_scope&) = delete;

  bool refused() const noexcept { return refused_; }

  // Whether the task is being offered by this thread.
  static bool refuse(const group_task& task) noexcept {
    auto* const scope =
        static_cast<offer_scope*>(prim::thread_value(prim::thread_slot::offered_task));
    if (scope == nullptr || &scope->task_ != &task) return false;
    scope->refused_ = true;
    return true;
  }

 private:
  void*& slot_;
  void* const before_;
  const group_task& task_;
  bool refused_ = false;
};

pool_core& core_of(thread_pool& pool) {
  pool_core& core = *static_cast<pool_core*>(pool.executor().self);
  if (core.is_of_this_process()) return core;
  throw rejected("task_group: thread_pool \"" + pool.name() + "\" has no threads in this process");
}

pool_core& core_for_this_thread() {
  if (worker* const w = worker_in_a_task()) return w->core;
  return core_of(default_pool());
}

}  // namespace

void group_task::be_given(verb v) noexcept {
  if (v == verb::help) return finish_ahead(true);
  const unsigned before = marks_.fetch_or(claimed | entry_gone, prim::acq_rel);
  if ((before & claimed) != 0) {
    if ((before & over) != 0) run(this, own_verb::destroy);
    return;
  }
  if (v == verb::discard && !offer_scope::refuse(*this)) group_.lose_task();
  carry_out(v == verb::run);
  group_.end(*this);
  run(this, own_verb::destroy);
}

// Under the group's lock, which orders it behind the task's making.
bool group_task::try_claim_ahead() noexcept {
  if ((marks_.fetch_or(claimed, prim::relaxed) & claimed) != 0) return false;
  spent.store(true, prim::release);
  return true;
}

void group_task::carry_out(bool wanted) noexcept {
  if (wanted && !group_.is_cancelled()) run(this, own_verb::call);
  run(this, own_verb::drop);
}

void group_task::finish_ahead(bool wanted) noexcept {
  carry_out(wanted);
  group_.end(*this);
  if ((marks_.fetch_or(over, prim::acq_rel) & entry_gone) != 0) run(this, own_verb::destroy);
}

// One that only noticed that the group is cancelled has not failed.
void group_task::fail() noexcept {
  try {
    throw;
  } catch (const cancelled&) {
    if (!group_.is_cancelled()) group_.fail(std::current_exception());
  } catch (...) {
    group_.fail(std::current_exception());
  }
}

}  // namespace detail

task_group::task_group()
    : core_(detail::core_for_this_thread()), generation_(prim::fork_generation()) {}

task_group::task_group(thread_pool& pool)
    : core_(detail::core_of(pool)), generation_(prim::fork_generation()) {}

task_group::~task_group() {
  if (!is_of_this_process()) return;
  for (bool first = true; has_tasks(); first = false) {
    require_other_task();
    if (first) cancel();
    wait_regardless([this] { sleep(false, false, 0); });
  }
  if (failure_ != nullptr) report_unhandled(std::move(failure_));
}

bool task_group::is_of_this_process() const noexcept {
  return generation_ == prim::fork_generation();
}

void task_group::require_own_process() const {
  if (!is_of_this_process()) throw forked();
}

// Looks through the tasks that this thread is in the middle of.
void task_group::require_other_task() const {
  const detail::running_task* task = detail::current_task(prim::thread_values());
  for (; task != nullptr; task = task->outer) {
    if (task->fulfils != this) continue;
    throw std::logic_error("task_group: a task of the group waits for the group's end");
  }
}

bool task_group::has_tasks() const noexcept {
  const prim::scoped_lock lock(lock_);
  return left_.load(prim::relaxed) != 0;
}

void task_group::offer(detail::group_task& task, std::optional<priority> level) {
  using own_verb = detail::group_task::own_verb;
  bool linked = false;
  try {
    require_own_process();
    task.level.store(detail::job_level(level), prim::relaxed);
    linked = link(task);
  } catch (...) {
    task.run(&task, own_verb::drop);
    task.run(&task, own_verb::destroy);
    throw;
  }
  if (!linked) {
    task.run(&task, own_verb::drop);
    task.run(&task, own_verb::destroy);
    return;
  }
  const detail::offer_scope scope(task);
  const detail::submission answer = core_.submit({&task, &task, 1});
  if (!scope.refused()) return;
  throw rejected(
      "task_group: thread_pool \"" + core_.name() + "\": run " +
      (answer == detail::submission::full ? "while the queue is full" : "after shutdown"));
}

// False: the group is cancelled.
bool task_group::link(detail::group_task& task) noexcept {
  detail::group_sleeper* hungry = nullptr;
  {
    const prim::scoped_lock lock(lock_);
    if (cancelled_.load(prim::relaxed)) return false;
    left_.store(left_.load(prim::relaxed) + 1, prim::relaxed);
    added_.store(added_.load(prim::relaxed) + 1, prim::relaxed);
    task.listed_ = true;
    task.older_ = newest_;
    if (newest_ != nullptr) newest_->newer_ = &task;
    newest_ = &task;
    hungry = take_hungry();
  }
  if (hungry != nullptr) hungry->called.complete();
  return true;
}

void task_group::unlink(detail::group_task& task) noexcept {
  (task.newer_ != nullptr ? task.newer_->older_ : newest_) = task.older_;
  if (task.older_ != nullptr) task.older_->newer_ = task.newer_;
  task.listed_ = false;
}

// Those of them that have begun meanwhile leave the list, too.
detail::group_task* task_group::claim_newest() noexcept {
  while (detail::group_task* const task = newest_) {
    unlink(*task);
    if (task->try_claim_ahead()) return task;
  }
  return nullptr;
}

// A waiter who sees that nothing is left may destroy the group as soon as the lock is free.
void task_group::end(detail::group_task& task) noexcept {
  detail::group_sleeper* sleepers = nullptr;
  {
    const prim::scoped_lock lock(lock_);
    if (task.listed_) unlink(task);
    const std::size_t left = left_.load(prim::relaxed) - 1;
    left_.store(left, prim::relaxed);
    if (left == 0) sleepers = std::exchange(sleepers_, nullptr);
  }
  while (sleepers != nullptr) std::exchange(sleepers, sleepers->next)->called.complete();
}

void task_group::fail(std::exception_ptr failure) noexcept {
  {
    const prim::scoped_lock lock(lock_);
    if (failure_ == nullptr) failure_ = std::exchange(failure, nullptr);
  }
  if (failure != nullptr) report_unhandled(std::move(failure));
  cancel();
}

// In a group that is cancelled nobody misses it.
void task_group::lose_task() noexcept {
  {
    const prim::scoped_lock lock(lock_);
    if (cancelled_.load(prim::relaxed)) return;
    lost_ = true;
  }
  cancel();
}

void task_group::cancel() noexcept {
  if (!is_of_this_process()) return;
  prim::stop_source stop = [this] {
    const prim::scoped_lock lock(lock_);
    cancelled_.store(true, prim::release);
    return stop_;
  }();
  stop.request_stop();
  for (;;) {
    detail::group_task* task = nullptr;
    {
      const prim::scoped_lock lock(lock_);
      task = claim_newest();
    }
    if (task == nullptr) return;
    task->finish_ahead(false);
  }
}

prim::stop_token task_group::get_token() {
  {
    const prim::scoped_lock lock(lock_);
    if (stop_.stop_possible()) return stop_.get_token();
  }
  prim::stop_source mine;
  prim::stop_source own(std::nostopstate);
  bool over = false;
  {
    const prim::scoped_lock lock(lock_);
    if (!stop_.stop_possible()) stop_.swap(mine);
    own = stop_;
    over = cancelled_.load(prim::relaxed);
  }
  if (over) own.request_stop();
  return own.get_token();
}

prim::stop_token task_group::stop_of_pool() const noexcept { return core_.stop_token(); }

bool task_group::wait() {
  require_own_process();
  for (;;) {
    await_end();
    std::exception_ptr failure;
    prim::stop_source stop(std::nostopstate);
    bool was_cancelled = false;
    bool lost = false;
    {
      const prim::scoped_lock lock(lock_);
      if (left_.load(prim::relaxed) != 0) continue;
      failure.swap(failure_);
      stop.swap(stop_);
      lost = std::exchange(lost_, false);
      was_cancelled = cancelled_.load(prim::relaxed);
      cancelled_.store(false, prim::relaxed);
    }
    if (failure != nullptr) std::rethrow_exception(std::move(failure));
    if (lost) throw cancelled("task_group: the pool gave up tasks of the group");
    return !was_cancelled;
  }
}

// Until nothing is left. Runs what has not begun where that is allowed, and else sleeps. The newest
// task is as a rule the newest of the worker's deque, and needs no tombstone then.
void task_group::await_end() {
  detail::worker* const w = core_.visitor();
  for (;;) {
    const bool helps = w != nullptr && left_.load(prim::relaxed) != 0 && w->may_run_ahead();
    detail::group_task* task = nullptr;
    std::uint32_t added = 0;
    {
      const prim::scoped_lock lock(lock_);
      if (left_.load(prim::relaxed) == 0) return;
      added = added_.load(prim::relaxed);
      if (helps) task = newest_;
    }
    if (task != nullptr) {
      if (w->run_if_newest(task)) continue;
      const prim::scoped_lock lock(lock_);
      task = claim_newest();
    }
    if (task != nullptr) {
      if (w->run_ahead(task)) continue;
      lose_task();
      task->finish_ahead(false);
    } else if (!helps || !has_changed(added)) {
      require_other_task();
      sleep(helps, helps && w->has_no_spare(), added);
    }
  }
}

// Looks for a moment whether all ends, or a task comes.
bool task_group::has_changed(std::uint32_t added) const noexcept {
  for (unsigned turn = prim::limits::fork_turns; turn != 0; --turn) {
    if (left_.load(prim::relaxed) == 0 || added_.load(prim::relaxed) != added) return true;
    prim::pause();
  }
  return false;
}

// Until nothing is left; for the hungry, until a task comes.
void task_group::sleep(bool helps, bool hungry, std::uint32_t added) {
  detail::group_sleeper self(hungry);
  {
    const prim::scoped_lock lock(lock_);
    if (left_.load(prim::relaxed) == 0) return;
    if (helps && added_.load(prim::relaxed) != added) return;
    self.next = sleepers_;
    sleepers_ = &self;
  }
  try {
    wait_for_completion(self.called, wait_kind::join);
  } catch (...) {
    if (withdraw(self)) throw;
    const unannounced_waits quietly;  // for a moment, until the call
    wait_for_completion(self.called, wait_kind::join);
  }
}

// False: somebody has taken it out, and calls.
bool task_group::withdraw(detail::group_sleeper& sleeper) noexcept {
  const prim::scoped_lock lock(lock_);
  for (detail::group_sleeper** link = &sleepers_; *link != nullptr; link = &(*link)->next) {
    if (*link != &sleeper) continue;
    *link = sleeper.next;
    return true;
  }
  return false;
}

// One that would rather run a task than sleep, since nobody else may be there to do it.
detail::group_sleeper* task_group::take_hungry() noexcept {
  for (detail::group_sleeper** link = &sleepers_; *link != nullptr; link = &(*link)->next) {
    if (!(*link)->hungry) continue;
    return std::exchange(*link, (*link)->next);
  }
  return nullptr;
}

}  // namespace heddle::inline HEDDLE_ABI
