#include <heddle/coro/fork_core.hpp>

#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <heddle/base/unhandled.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What there is once a child has failed, or somebody wanted to hear of it.
struct fork_core::trouble {
  struct forward {
    prim::stop_source& to;
    // A copy, for the parent may end in the call.
    void operator()() const noexcept { prim::stop_source(to).request_stop(); }
  };

  std::exception_ptr failure;  // written by who sets `failed`
  prim::stop_source source;
  const prim::stop_token token = source.get_token();
  std::optional<prim::stop_callback<forward>> parents_stop;
};

// What follows a failure need not begin.
std::coroutine_handle<> fork_core::drop(const child& c) const noexcept {
  c.frame->handle().destroy();
  return parent_->handle();
}

// By a worker at the top of its loop. One that waits in the middle of a task must not take up what
// may wait for that, and leaves it (fork_ref::is_rest).
void fork_core::was_taken(fork_entry* e, fork_lane&) noexcept {
  auto& self = *static_cast<fork_core*>(e);
  ++self.taken_;
  self.parent_->run_here();
}

std::coroutine_handle<> fork_core::take_left(const task_run& run) noexcept {
  if (run.lane == nullptr) return nullptr;
  fork_entry* const newest = run.lane->take_newest(run.floor);
  if (newest == nullptr) return nullptr;
  auto& self = *static_cast<fork_core*>(newest);
  ++self.taken_;
  return self.parent_->go_on_in_run();
}

// When it is not the last child the parent's frame may be gone behind the exchange.
std::coroutine_handle<> fork_core::count_down(executor_ref ran_on) noexcept {
  if (left_.fetch_sub(1, prim::acq_rel) != 1) return nullptr;
  return parent_->waits_at_end() ? parent_->end_from(ran_on) : parent_->go_on_from(ran_on);
}

// True: the last child lets the parent go on, which may have done so when this returns.
bool fork_core::suspend() noexcept {
  parent_->note_context();
  const std::int64_t taken = taken_;
  return left_.fetch_add(taken, prim::acq_rel) + taken != 0;
}

// Behind the end of all children.
void fork_core::settle() {
  const bool refused = parent_->take_refusal();
  if (std::exception_ptr failure = take_failure()) std::rethrow_exception(std::move(failure));
  if (refused) task_frame::throw_refused();
}

std::exception_ptr fork_core::take_failure() noexcept {
  taken_ = 0;
  const std::uintptr_t word = trouble_.exchange(0, prim::acquire);
  const std::unique_ptr<trouble> all(trouble_of(word));
  if ((word & failed) == 0) return nullptr;
  if (all != nullptr && all->failure != nullptr) return std::move(all->failure);
  if ((word & given_up) != 0) return nullptr;
  return std::make_exception_ptr(std::bad_alloc());  // see fail()
}

void fork_core::give_up() noexcept {
  if ((trouble_.fetch_or(failed | given_up, prim::acq_rel) & failed) != 0) return;
  tell_of_failure();
}

// To who listens. Who begins to listen later sees the mark.
void fork_core::tell_of_failure() noexcept {
  if (trouble* const all = trouble_of(trouble_.load(prim::acquire))) {
    prim::stop_source(all->source).request_stop();
  }
}

// The first is kept. Without memory for it the join throws std::bad_alloc.
void fork_core::fail(std::exception_ptr failure) noexcept {
  if ((trouble_.fetch_or(failed, prim::acq_rel) & failed) != 0) {
    report_unhandled(std::move(failure));
    return;
  }
  try {
    find_trouble().failure = failure;
  } catch (const std::bad_alloc&) {
    report_unhandled(std::move(failure));
  }
  tell_of_failure();
}

fork_core::trouble* fork_core::trouble_of(std::uintptr_t word) noexcept {
  return reinterpret_cast<trouble*>(word & ~(failed | given_up));
}

// The outermost parent first: each listens to the next further out, which may be many.
fork_core::trouble& fork_core::find_trouble() {
  std::vector<fork_core*> without;
  for (fork_core* p = this; p != nullptr && trouble_of(p->trouble_.load(prim::acquire)) == nullptr;
       p = p->parent_->who_stops().parent()) {
    without.push_back(p);
  }
  for (; !without.empty(); without.pop_back()) without.back()->make_trouble();
  return *trouble_of(trouble_.load(prim::acquire));
}

// Unless somebody else has.
void fork_core::make_trouble() {
  auto made = std::make_unique<trouble>();
  const prim::stop_token* const stop = parent_->stop();
  if (stop != nullptr && stop->stop_possible()) {
    made->parents_stop.emplace(*stop, trouble::forward{made->source});
  }
  std::uintptr_t word = trouble_.load(prim::acquire);
  do {
    if (trouble_of(word) != nullptr) return;
  } while (!trouble_.compare_exchange_weak(
      word, reinterpret_cast<std::uintptr_t>(made.get()) | word, prim::acq_rel, prim::acquire));
  trouble* const all = made.release();
  if ((word & failed) != 0) prim::stop_source(all->source).request_stop();
}

const prim::stop_token* stopped_by::parents_token() const {
  return &parent()->find_trouble().token;
}

bool stopped_by::parent_is_stopped() const noexcept {
  stopped_by link = *this;
  for (const fork_core* s = parent(); s != nullptr; s = link.parent()) {
    if ((s->trouble_.load(prim::acquire) & fork_core::failed) != 0) return true;
    link = s->parent_->who_stops();
  }
  return link.requested();
}

task_forks::task_forks(task_frame& parent, failure_function failure) noexcept
    : fork_core(parent), ended_(parent.told_at_end()), owner_(parent.owner()), failure_(failure) {
  parent.begin_to_fork(&parent_ended, this);
}

// At the end of the parent's body, and once more behind the last child where that comes later.
// Behind suspend() the parent may be gone.
std::coroutine_handle<> task_forks::parent_ended(task_frame& parent) noexcept {
  auto& self = *static_cast<task_forks*>(parent.owner());
  if (self.nobody_was_taken() && !self.has_trouble()) [[likely]]
    return self.end_parent();
  if (!self.nobody_was_taken() && !parent.waits_at_end()) {
    if (self.failure_(parent, nullptr)) self.give_up();
    parent.wait_at_end();
    if (self.suspend()) return nullptr;
  }
  if (std::exception_ptr failure = self.take_failure()) {
    if (self.failure_(parent, nullptr)) {
      report_unhandled(std::move(failure));
    } else {
      self.failure_(parent, &failure);
    }
  }
  return self.end_parent();
}

std::coroutine_handle<> task_forks::end_parent() noexcept {
  task_frame& ended = parent();
  const task_frame::end_function told = ended_;
  void* const owner = owner_;
  delete this;
  return ended.end_of_forks(told, owner);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
