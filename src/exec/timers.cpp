#include <array>
#include <utility>

#include <heddle/exec/timers.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "timer_core.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace detail {
namespace {

void join(prim::thread& thread, const void* what) noexcept {
  wait_record record{wait_kind::shutdown, what, "timer_queue"};
  wait_regardless([&] {
    const blocking_region region(record);
    thread.join();
  });
}

}  // namespace

bool timer_core::prepare() {
  if (ended_) return false;
  heap_.reserve(heap_.size() + periodic_ + 1);
  if (started_) return true;
  retain();
  try {
    thread_ = prim::thread([this] {
      prim::set_thread_name("heddle-timers");
      run();
      release();
    });
  } catch (...) {
    release();
    throw;
  }
  started_ = true;
  return true;
}

void timer_core::bind(timer_link& link, executor_ref where, job* work) noexcept {
  link.where_ = where;
  link.work_ = work;
}

// Wakes the thread under the mutex: behind it the core could be gone.
void timer_core::arm(timer_link& link, prim::time_point when) noexcept {
  heap_.push(link, when);
  link.armed_.store(true, prim::relaxed);
  if (when >= wakes_at_) return;
  wakes_at_ = prim::time_point::min();
  parker_.unpark();
}

job* timer_core::disarm(timer_link& link) noexcept {
  if (!timer_heap::holds(link)) return nullptr;
  heap_.remove(link);
  job* const work = link.work_;
  link.armed_.store(false, prim::relaxed);
  return work;
}

bool timer_core::arm_new(timer_link& link, prim::time_point when, executor_ref where, job* work) {
  const prim::scoped_lock lock(mutex);
  if (!prepare()) return false;
  retain();
  link.core_ = this;
  bind(link, where, work);
  arm(link, when);
  return true;
}

// What the thread does. It touches neither links nor work after it has let go of the mutex, but to
// post the work.
void timer_core::run() noexcept {
  for (;;) {
    std::array<due_work, prim::limits::timer_batch> due;
    std::size_t count = 0;
    prim::time_point next;
    {
      const prim::scoped_lock lock(mutex);
      if (ended_) return;
      count = take_due(due);
      next = heap_.empty() ? prim::never : heap_.earliest();
      wakes_at_ = count == 0 ? next : prim::time_point::min();
    }
    for (std::size_t i = 0; i != count; ++i) due[i].where.post(due[i].work);
    if (count == 0) parker_.park_until(next);
  }
}

std::size_t timer_core::take_due(std::span<due_work> room) noexcept {
  if (heap_.empty()) return 0;
  const prim::time_point now = prim::clock::now();
  std::size_t count = 0;
  while (count != room.size() && !heap_.empty() && heap_.earliest() <= now) {
    timer_link& first = heap_.first();
    const executor_ref where = first.where_;
    room[count++] = {where, disarm(first)};
  }
  return count;
}

std::size_t timer_core::pending() noexcept {
  const prim::scoped_lock lock(mutex);
  return heap_.size();
}

std::size_t timer_core::cancel_all(executor_ref where) noexcept {
  job_list works;
  std::size_t count = 0;
  {
    const prim::scoped_lock lock(mutex);
    heap_.remove_if([&](const timer_link& link) { return link.where_ == where; },
                    [&](timer_link& link) {
                      works.append(link.work_);
                      link.armed_.store(false, prim::relaxed);
                      ++count;
                    });
  }
  discard(works);
  return count;
}

void timer_core::end() noexcept {
  job_list works;
  prim::thread thread;
  {
    const prim::scoped_lock lock(mutex);
    ended_ = true;
    heap_.remove_if([](const timer_link&) { return true; },
                    [&](timer_link& link) {
                      works.append(link.work_);
                      link.armed_.store(false, prim::relaxed);
                    });
    thread = std::move(thread_);
  }
  parker_.unpark();
  // Before the thread is waited for: the work that it runs, if it does, may wait for these.
  discard(works);
  if (!thread.joinable()) return;
  if (thread.get_id() == prim::this_thread_id()) {
    thread.detach();
  } else {
    join(thread, this);
  }
}

void timer_core::discard(job_list& works) noexcept {
  while (job* const j = works.pop()) discard_on_trampoline(j);
}

bool timer_link::leave_core() noexcept {
  if (core_->abandoned()) return false;
  bool was_armed = false;
  if (armed_.load(prim::relaxed)) {
    const prim::scoped_lock lock(core_->mutex);
    was_armed = core_->disarm(*this) != nullptr;
  }
  std::exchange(core_, nullptr)->release();
  return was_armed;
}

// One queue for the process, which nobody destroys: static objects may use it as long as they like.
class standard_timers {
 public:
  constexpr standard_timers() noexcept : kept() {}
  // The core that is given up stays where it is: other threads may still hold on to it.
  ~standard_timers() {
    given_up_ = kept.live_core();
    if (given_up_ == nullptr) return;
    kept.core_.store(nullptr, prim::relaxed);
    given_up_->end();
  }
  standard_timers(const standard_timers&) = delete;
  standard_timers& operator=(const standard_timers&) = delete;

  timer_queue& queue() noexcept { return kept; }

 private:
  union {
    timer_queue kept;
  };
  timer_core* given_up_ = nullptr;
};

}  // namespace detail

namespace {
constinit detail::standard_timers of_the_process;
}

timer_queue& timer_queue::standard() noexcept { return of_the_process.queue(); }

timer_queue::~timer_queue() {
  detail::timer_core* const ending = live_core();
  if (ending == nullptr) return;
  ending->end();
  ending->release();
}

detail::timer_core* timer_queue::live_core() const noexcept {
  detail::timer_core* const there = core_.load(prim::acquire);
  return there == nullptr || there->abandoned() ? nullptr : there;
}

// A core that a parent process left behind is not freed: nobody knows in which state it is.
detail::timer_core& timer_queue::core() {
  detail::timer_core* there = core_.load(prim::acquire);
  if (there != nullptr && !there->abandoned()) return *there;
  prim::watch_forks();
  auto* const fresh = new detail::timer_core;
  if (core_.compare_exchange_strong(there, fresh, prim::release, prim::acquire)) return *fresh;
  fresh->release();
  return *there;
}

void timer_queue::arm(detail::timer_link& link, prim::time_point when, executor_ref where,
                      job* work) {
  if (when <= prim::clock::now()) {
    where.post(work);
    return;
  }
  try {
    if (core().arm_new(link, when, where, work)) return;
  } catch (...) {
    work->run(work, verb::discard);
    throw;
  }
  work->run(work, verb::discard);
}

void timer_queue::start(periodic_timer& timer, prim::time_point first) {
  timer.state_->start(core(), first);
}

std::size_t timer_queue::pending() const noexcept {
  detail::timer_core* const there = live_core();
  return there == nullptr ? 0 : there->pending();
}

std::size_t timer_queue::cancel_all(executor_ref where) noexcept {
  detail::timer_core* const there = live_core();
  return there == nullptr ? 0 : there->cancel_all(where);
}

}  // namespace heddle::inline HEDDLE_ABI
