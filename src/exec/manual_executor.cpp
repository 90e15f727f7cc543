#include <heddle/exec/manual_executor.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/sync/completion.hpp>
#include <heddle/sync/waiter.hpp>

#include "nested_delegate.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace {

// While a thread runs one of the executor's jobs.
class driving final : public detail::nested_delegate {
 public:
  explicit driving(executor_ref here) noexcept : here_(here) {}

 private:
  bool serves(executor_ref home) const noexcept override { return home == here_; }

  const executor_ref here_;
};

// Tells the executor's loop that a future is ready. Leaves the future with its scope.
class done_waiter final : public waiter {
 public:
  done_waiter(completion& event, event_count& changed) noexcept
      : waiter(&woken), event_(event), changed_(changed), attached_(event.attach(*this)) {}
  ~done_waiter() {
    // Whoever has taken the node out is about to wake it, and must have done so first.
    if (attached_ && !event_.detach(*this)) over_.park();
  }
  done_waiter(const done_waiter&) = delete;
  done_waiter& operator=(const done_waiter&) = delete;

  bool told() const noexcept { return !attached_ || told_.load(prim::acquire); }

 private:
  static void woken(waiter* w) noexcept {
    auto* const self = static_cast<done_waiter*>(w);
    self->told_.store(true, prim::release);
    self->changed_.notify_all();
    self->over_.unpark();
  }

  completion& event_;
  event_count& changed_;
  prim::parker over_;
  prim::atomic<bool> told_{false};
  const bool attached_;  // last: from here on it may be woken
};

}  // namespace

void manual_executor::accept(void* self, job* j) noexcept {
  auto& executor = *static_cast<manual_executor*>(self);
  if (executor.append(j)) {
    executor.changed_.notify_one();
  } else {
    detail::discard_on_trampoline(j);
  }
}

bool manual_executor::append(job* j) noexcept {
  const prim::scoped_lock lock(mutex_);
  if (closed_) return false;
  j->stamp = ++last_stamp_;
  jobs_.append(j);
  return true;
}

// The oldest job that is still to be run, if it did not come after the one with that stamp;
// tombstones before it are buried.
job* manual_executor::pop(std::uint32_t newest) noexcept {
  for (;;) {
    job* j = nullptr;
    {
      const prim::scoped_lock lock(mutex_);
      if (jobs_.empty() || static_cast<std::int32_t>(jobs_.first()->stamp - newest) > 0) {
        return nullptr;
      }
      j = jobs_.pop();
    }
    if (!j->spent.load(prim::acquire)) return j;
    j->run(j, verb::run);
  }
}

// The same, however new it is.
job* manual_executor::pop() noexcept { return pop(newest_stamp()); }

std::uint32_t manual_executor::newest_stamp() const noexcept {
  const prim::scoped_lock lock(mutex_);
  return last_stamp_;
}

void manual_executor::give_run(job* j) noexcept {
  const driving here(executor());
  j->run(j, verb::run);
}

bool manual_executor::run_one() {
  job* const j = pop();
  if (j == nullptr) return false;
  give_run(j);
  return true;
}

std::size_t manual_executor::run_ready() {
  std::size_t count = 0;
  const std::uint32_t newest = newest_stamp();
  while (job* const j = pop(newest)) {
    give_run(j);
    ++count;
  }
  return count;
}

std::size_t manual_executor::drain() {
  std::size_t count = 0;
  while (run_one()) ++count;
  return count;
}

// Runs jobs until the condition holds, which is asked before each. False when the deadline came, or
// the executor was closed, first.
template <class Condition>
bool manual_executor::run_while_waiting(prim::time_point deadline, Condition holds,
                                        std::size_t& count) {
  for (;;) {
    if (holds()) return true;
    if (deadline != prim::never && prim::clock::now() >= deadline) return false;
    job* next = nullptr;
    changed_.await_until(deadline,
                         [&] { return holds() || (next = pop()) != nullptr || closed(); });
    if (next != nullptr) {
      give_run(next);
      ++count;
    } else if (closed()) {
      return holds();
    }
  }
}

std::size_t manual_executor::run_until(prim::time_point deadline) {
  std::size_t count = 0;
  run_while_waiting(deadline, [] { return false; }, count);
  return count;
}

bool manual_executor::run_until_done(completion& event, prim::time_point deadline) {
  std::size_t count = 0;
  const done_waiter ready(event, changed_);
  return run_while_waiting(deadline, [&] { return ready.told(); }, count);
}

std::size_t manual_executor::pending() const {
  std::size_t count = 0;
  const prim::scoped_lock lock(mutex_);
  for (const job* j = jobs_.first(); j != nullptr; j = j->next) {
    if (!j->spent.load(prim::relaxed)) ++count;
  }
  return count;
}

void manual_executor::close() noexcept {
  {
    const prim::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (;;) {
    job* j = nullptr;
    {
      const prim::scoped_lock lock(mutex_);
      j = jobs_.pop();
    }
    if (j == nullptr) return;
    detail::discard_on_trampoline(j);
  }
}

bool manual_executor::closed() const {
  const prim::scoped_lock lock(mutex_);
  return closed_;
}

}  // namespace heddle::inline HEDDLE_ABI
