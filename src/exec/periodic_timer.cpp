#include <algorithm>
#include <exception>

#include <heddle/base/unhandled.hpp>
#include <heddle/exec/periodic_timer.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "running_scope.hpp"
#include "tick_rule.hpp"
#include "timer_core.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace detail {

periodic_state::~periodic_state() {
  if (core_ != nullptr && !core_->abandoned()) core_->release();
}

// A first tick that is due is posted from here.
void periodic_state::start(timer_core& core, prim::time_point first) {
  const bool at_once = first <= prim::clock::now();
  bool accepted = false;
  {
    const prim::scoped_lock lock(core.mutex);
    accepted = core.prepare();
    core.retain();
    core_ = &core;
    if (accepted) {
      references_.fetch_add(1, prim::relaxed);
      core.add_periodic();
      core.bind(link_, where_, this);
      due_ = first;
      if (!at_once) core.arm(link_, first);
    } else {
      phase_ = phase::ended;
    }
  }
  if (!accepted) {
    end();
  } else if (at_once) {
    where_.post(this);
  }
}

void periodic_state::act(job* j, verb v) noexcept {
  auto* const self = static_cast<periodic_state*>(j);
  if (v == verb::run) self->run_once();
  if (v == verb::discard) self->give_up();
}

void periodic_state::run_once() noexcept {
  const std::optional<timer_tick> tick = begin_run();
  if (!tick) {
    release();
    return;
  }
  bool failed = false;
  {
    const running_scope inside(this);
    try {
      call(*tick);
    } catch (...) {
      failed = true;
      report_unhandled(std::current_exception());
    }
  }
  if (core_->abandoned()) return;  // f has forked, and this is the child: the timer is the parent's
  if (!end_run(failed)) {
    end();
    release();
  }
}

// Nothing, when the timer was cancelled while it waited in the executor.
std::optional<timer_tick> periodic_state::begin_run() noexcept {
  const prim::scoped_lock lock(core_->mutex);
  if (phase_ != phase::waiting) return std::nullopt;
  phase_ = phase::running;
  const prim::time_point now = std::max(prim::clock::now(), due_);
  const auto [missed, following] = step_after(due_, now, period_, when_late_);
  const timer_tick tick{due_, now - due_, missed};
  due_ = following;
  ++seen_.runs;
  seen_.missed += missed;
  seen_.last_lateness = tick.lateness;
  seen_.max_lateness = std::max(seen_.max_lateness, tick.lateness);
  return tick;
}

// True when there will be another one: then the timer is armed, and this thread is done with it.
bool periodic_state::end_run(bool failed) noexcept {
  const prim::scoped_lock lock(core_->mutex);
  if (failed) ++seen_.failed;
  if (phase_ == phase::ending || (failed && end_on_exception_) || core_->ended()) {
    phase_ = phase::ended;
    core_->remove_periodic();
    return false;
  }
  phase_ = phase::waiting;
  core_->arm(link_, due_);
  return true;
}

// The executor, or the queue, does not want it any more.
void periodic_state::give_up() noexcept {
  bool ends = false;
  {
    const prim::scoped_lock lock(core_->mutex);
    ends = phase_ == phase::waiting;
    if (ends) {
      phase_ = phase::ended;
      core_->remove_periodic();
    }
  }
  if (ends) end();
  release();
}

// By whoever has set the phase to `ended`, once.
void periodic_state::end() noexcept {
  drop_callable();
  ended_.complete();
}

void periodic_state::cancel() noexcept {
  if (core_ == nullptr || core_->abandoned()) return;
  job* entry = nullptr;
  {
    const prim::scoped_lock lock(core_->mutex);
    if (phase_ == phase::running) phase_ = phase::ending;
    if (phase_ != phase::waiting) return;
    phase_ = phase::ended;
    core_->remove_periodic();
    entry = core_->disarm(link_);
  }
  end();
  if (entry != nullptr) release();
}

void periodic_state::await_end() {
  if (core_ == nullptr || core_->abandoned() || running_scope::inside(this)) return;
  wait_for_completion(ended_, wait_kind::event);
}

periodic_statistics periodic_state::statistics() const noexcept {
  if (core_ == nullptr || core_->abandoned()) return seen_;
  const prim::scoped_lock lock(core_->mutex);
  return seen_;
}

}  // namespace detail

void periodic_timer::reset() noexcept {
  detail::periodic_state* const state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  state->cancel();
  wait_regardless([state] { state->await_end(); });
  state->release();
}

}  // namespace heddle::inline HEDDLE_ABI
