#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <heddle/base/unhandled.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/exec/retain_executor.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What there is once a child has failed, or somebody wanted to hear of it, or the parent has left
// its children behind on an executor that it had kept for them.
struct task_frame::trouble {
  trouble() = default;
  ~trouble() {
    for (const executor_ref where : left) release_executor(where);
  }
  trouble(const trouble&) = delete;
  trouble& operator=(const trouble&) = delete;

  struct forward {
    prim::stop_source& to;
    // A copy, for the parent may end in the call.
    void operator()() const noexcept { prim::stop_source(to).request_stop(); }
  };

  std::exception_ptr failure;  // written by who sets `failed`
  prim::stop_source source;
  const prim::stop_token token = source.get_token();
  std::optional<prim::stop_callback<forward>> parents_stop;
  std::vector<executor_ref> left;  // the parent's own; retained
};

// By a worker at the top of its loop. One that waits in the middle of a task must not take up what
// may wait for that, and leaves it (fork_ref::is_rest).
void task_frame::was_taken(fork_entry* e, fork_lane&) noexcept {
  auto& self = static_cast<task_frame&>(frame_place::of(e));
  ++self.taken_;
  self.run_here();
}

std::coroutine_handle<> task_frame::take_left(const task_run& run) noexcept {
  if (run.lane == nullptr) return nullptr;
  fork_entry* const newest = run.lane->take_newest(run.floor);
  if (newest == nullptr) return nullptr;
  auto& self = static_cast<task_frame&>(frame_place::of(newest));
  ++self.taken_;
  return self.go_on_in_run();
}

// In any context, and where there may be no lane, or no room in it.
std::coroutine_handle<> task_frame::fork_slowly(task_frame& child, after_end then) noexcept {
  const std::coroutine_handle<> handle =
      begin_child(child, stopped_by(*this), bits(bond::forked, then));
  task_run& run = task_run::of_this_thread();
  if (run.lane == nullptr && !run.find_lane(executor_)) {
    child.parent_waits();
    return handle;
  }
  std::construct_at(&as_rest, &was_taken);
  if (!run.lane->push_rest(as_rest)) child.parent_waits();
  return handle;
}

std::coroutine_handle<> task_frame::begin_and_tell(fork_lane& lane, task_frame& child) noexcept {
  lane.answer();
  return child.handle();
}

// Of any task, also once more behind the last child where that has ended later.
std::coroutine_handle<> task_frame::end() noexcept {
  if (forks()) {
    if (has_forked() && !settle_at_end()) return nullptr;
    end_forking();
  }
  return tell();
}

std::coroutine_handle<> task_frame::tell() noexcept {
  switch (static_cast<bond>(bond_ & 3)) {
    case bond::awaited:
      return parent().go_on_from(executor_);
    case bond::forked:
      return end_forked();
    case bond::called:
      return end_called();
    case bond::none:
      break;
  }
  auto& end = *reinterpret_cast<task_end*>(bond_);
  return end.told(end, *this);
}

std::coroutine_handle<> task_frame::end_forked() noexcept {
  if (failed()) parent().fail_child(take_error());
  const task_run& run = task_run::of_this_thread();
  if (run.lane == nullptr || run.lane->take_newest(run.floor) == nullptr) return end_behind_theft();
  return end_with_parent();
}

// Some of what is in the lane may be taken just now: what the child has come for as well.
std::coroutine_handle<> task_frame::end_among_thieves() noexcept {
  return task_run::of_this_thread().lane->end_taking_back() ? end_with_parent()
                                                            : end_behind_theft();
}

std::coroutine_handle<> task_frame::end_with_parent() noexcept {
  const std::coroutine_handle<> next = parent().go_on_in_run();
  if (is_dropped()) {
    handle().destroy();
  } else {
    left_by_.store(how_it_ended(), prim::relaxed);  // the handle is still to come
  }
  return next;
}

std::coroutine_handle<> task_frame::end_behind_theft() noexcept {
  task_frame& its_parent = parent();
  // One that goes with the frame may have its address used again before the parent looks.
  const executor_ref ran_on = has(own_executor) ? executor_ref() : executor_;
  exchange_current(nullptr);  // the frame keeps it
  if (is_dropped() || !leave(how_it_ended())) handle().destroy();
  return its_parent.count_down(ran_on);
}

std::coroutine_handle<> task_frame::end_called() noexcept {
  task_frame& its_parent = parent();
  if (failed()) its_parent.fail_child(take_error());
  const executor_ref ran_on = executor_;
  exchange_current(nullptr);
  if (is_dropped()) {
    handle().destroy();
  } else {
    left_by_.store(how_it_ended(), prim::relaxed);
  }
  return its_parent.go_on_from(ran_on);
}

// When it is not the last child the parent's frame may be gone behind the exchange.
std::coroutine_handle<> task_frame::count_down(executor_ref ran_on) noexcept {
  if (left_.fetch_sub(1, prim::acq_rel) != 1) return nullptr;
  return has(waits_at_end) ? end_from(ran_on) : go_on_from(ran_on);
}

// True: the last child lets the parent go on, which may have done so when this returns.
bool task_frame::suspend_for_join() noexcept {
  note_context();
  const std::int64_t taken = taken_;
  return left_.fetch_add(taken, prim::acq_rel) + taken != 0;
}

// Behind the end of all children.
void task_frame::settle() {
  const bool was_refused = take_refusal();
  std::exception_ptr failure;
  if (forks()) {
    failure = take_failure();
    end_forking();
  }
  if (failure) std::rethrow_exception(std::move(failure));
  if (was_refused) throw_refused();
}

std::exception_ptr task_frame::take_failure() noexcept {
  taken_ = 0;
  const std::uintptr_t word = trouble_.exchange(0, prim::acquire);
  const std::unique_ptr<trouble> all(trouble_of(word));
  if ((word & failed_child) == 0) return nullptr;
  if (all != nullptr && all->failure != nullptr) return std::move(all->failure);
  if ((word & given_up) != 0) return nullptr;
  return std::make_exception_ptr(std::bad_alloc());  // see fail_child()
}

void task_frame::give_up() noexcept {
  if ((trouble_.fetch_or(failed_child | given_up, prim::acq_rel) & failed_child) != 0) return;
  tell_of_failure();
}

// To who listens. Who begins to listen later sees the mark.
void task_frame::tell_of_failure() noexcept {
  if (trouble* const all = trouble_of(trouble_.load(prim::acquire))) {
    prim::stop_source(all->source).request_stop();
  }
}

// The first is kept. Without memory for it the join throws std::bad_alloc.
void task_frame::fail_child(std::exception_ptr failure) noexcept {
  if ((trouble_.fetch_or(failed_child, prim::acq_rel) & failed_child) != 0) {
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

task_frame::trouble* task_frame::trouble_of(std::uintptr_t word) noexcept {
  return reinterpret_cast<trouble*>(word & ~(failed_child | given_up));
}

// The outermost parent first: each listens to the next further out, which may be many.
task_frame::trouble& task_frame::find_trouble() {
  std::vector<task_frame*> without;
  for (task_frame* p = this; p != nullptr && trouble_of(p->trouble_.load(prim::acquire)) == nullptr;
       p = p->stop_.parent()) {
    without.push_back(p);
  }
  for (; !without.empty(); without.pop_back()) without.back()->make_trouble();
  return *trouble_of(trouble_.load(prim::acquire));
}

// Unless somebody else has.
void task_frame::make_trouble() {
  auto made = std::make_unique<trouble>();
  const prim::stop_token* const stop = this->stop();
  if (stop != nullptr && stop->stop_possible()) {
    made->parents_stop.emplace(*stop, trouble::forward{made->source});
  }
  std::uintptr_t word = trouble_.load(prim::acquire);
  do {
    if (trouble_of(word) != nullptr) return;
  } while (!trouble_.compare_exchange_weak(
      word, reinterpret_cast<std::uintptr_t>(made.get()) | word, prim::acq_rel, prim::acquire));
  trouble* const all = made.release();
  if ((word & failed_child) != 0) prim::stop_source(all->source).request_stop();
}

void task_frame::keep_executor_for_children() {
  if (!has(own_executor) || !forks() || nobody_was_taken()) return;
  std::vector<executor_ref>& left = find_trouble().left;
  if (std::ranges::find(left, executor_) != left.end()) return;
  left.push_back(executor_);
  retain_executor(executor_);
}

const prim::stop_token* stopped_by::parents_token() const {
  return &parent()->find_trouble().token;
}

bool stopped_by::parent_is_stopped() const noexcept {
  stopped_by link = *this;
  for (const task_frame* s = parent(); s != nullptr; s = link.parent()) {
    if ((s->trouble_.load(prim::acquire) & task_frame::failed_child) != 0) return true;
    link = s->who_stops();
  }
  return link.requested();
}

// At the end of the body of a task that has forked, and once more behind the last child where that
// comes later. False: the last child lets it end, and may have done so when this returns.
bool task_frame::settle_at_end() noexcept {
  if (!nobody_was_taken() && !has(waits_at_end)) {
    if (failed()) give_up();
    note(waits_at_end);
    if (suspend_for_join()) return false;
  }
  if (std::exception_ptr failure = take_failure()) {
    if (failed()) {
      report_unhandled(std::move(failure));
    } else {
      fail(std::move(failure));
    }
  }
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
