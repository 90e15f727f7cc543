#include <heddle/future/state.hpp>

#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "trampoline.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// Three things must have come about; whoever brings the last one is alone with the state.
future_state::~future_state() {
  if (how() == outcome::broken && !error_read_.load(prim::relaxed)) {
    try {
      report_unhandled(read_error());
    } catch (...) {
      report_unhandled(std::current_exception());
    }
  }
  if (how() != outcome::error) return;
  slot_.write([&](slot_room& r) {
    auto* const error = r.as<std::exception_ptr>();
    if (!error_read_.load(prim::relaxed)) report_unhandled(std::move(*error));
    std::destroy_at(error);
  });
}

void future_state::leave_unwanted() noexcept {
  const auto now = completion_.look(prim::acquire);
  if (now.done() && now.has(mark_entry_gone)) {
    destroy();
    return;
  }
  const auto before = completion_.set(mark_unwanted, prim::acq_rel);
  if (before.done() && before.has(mark_entry_gone)) destroy();
}

void future_state::finish(entry e) noexcept {
  const auto before =
      completion_.complete(e == entry::drop ? mark_entry_gone : completion::marks::none);
  if (before.has(mark_unwanted) && (e == entry::drop || before.has(mark_entry_gone))) destroy();
}

void future_state::finish_with(outcome how, std::exception_ptr error, entry e) noexcept {
  if (how == outcome::error) {
    slot_.write([&](slot_room& r) { r.construct<std::exception_ptr>(std::move(error)); });
  }
  outcome_.set(how);
  finish(e);
}

bool future_state::cancel() noexcept {
  if (!try_claim_ahead()) {
    run(this, own_verb::request_stop);
    return false;
  }
  run(this, own_verb::drop_work);
  finish_with(outcome::cancelled);
  return true;
}

void future_state::discard_entry() noexcept {
  if (!try_claim_entry()) return;
  run(this, own_verb::drop_work);
  finish_with(outcome::cancelled);
}

// By the parent process: nobody will ever make it ready in this one.
bool future_state::was_left_behind() const noexcept {
  return !ready() && generation_ != (prim::fork_generation() & generation_mask);
}

void future_state::require_own_process() const {
  if (was_left_behind()) throw forked();
}

namespace {

// On a worker of its home, the work is done here and now if nobody has begun it.
void help(future_state& state) noexcept {
  if (!state.home()) return;
  if (blocking_delegate* const delegate = current_blocking_delegate()) {
    delegate->help(state.home(), &state);
  }
}

}  // namespace

void future_state::await_slowly() {
  require_own_process();
  help(*this);
  wait_or_be_interrupted(completion_, wait_kind::future);
}

bool future_state::await_until(prim::time_point deadline) {
  require_own_process();
  return wait_for_completion(completion_, wait_kind::future, deadline);
}

bool future_state::await(const prim::stop_token& stop) {
  require_own_process();
  return wait_for_completion(completion_, wait_kind::future, stop);
}

void future_state::await_regardless() noexcept {
  if (ready() || was_left_behind()) return;
  help(*this);
  wait_regardless(completion_, wait_kind::future);
}

std::exception_ptr future_state::read_error() {
  switch (how()) {
    case outcome::cancelled:
      return std::make_exception_ptr(cancelled());
    case outcome::broken:
      mark_error_read();
      return std::make_exception_ptr(broken_promise());
    case outcome::error:
      mark_error_read();
      return slot_.read([](const slot_room& r) { return *r.as<std::exception_ptr>(); });
    default:
      return nullptr;
  }
}

void future_state::rethrow_error() {
  if (failed()) std::rethrow_exception(read_error());
}

// Moves the error out, so that the last reference to the exception is the reader's: the state,
// which may be destroyed by somebody else, has nothing to do with it any more.
void future_state::give_error_away() {
  if (how() != outcome::error) std::rethrow_exception(read_error());
  mark_error_read();
  std::rethrow_exception(slot_.write(
      [](slot_room& r) { return std::exchange(*r.as<std::exception_ptr>(), nullptr); }));
}

namespace {

// Calls somebody back when a state is ready: a job that is posted then.
class callback final : public waiter {
 public:
  static callback* make(executor_ref where, unique_task task) {
    void* const memory = prim::allocate_cell(sizeof(callback), alignof(callback));
    return ::new (memory) callback(where, task.release());
  }

  static void woken(waiter* w) noexcept {
    auto* const self = static_cast<callback*>(w);
    const executor_ref where = self->where_;
    job* const work = self->work_;
    std::destroy_at(self);
    prim::deallocate_cell(self, sizeof(callback), alignof(callback));
    where.post(work);
  }

 private:
  callback(executor_ref where, job* work) noexcept : waiter(&woken), where_(where), work_(work) {}

  const executor_ref where_;
  job* const work_;
};

}  // namespace

void call_when_ready(future_state& state, executor_ref where, unique_task task) {
  state.require_own_process();
  auto* const node = callback::make(where, std::move(task));
  if (!state.event().attach(*node)) callback::woken(node);
}

namespace {

// The jobs that wait for the one on this thread's stack to return.
struct trampoline_queue {
  job* first = nullptr;
  job** end = &first;
};

void bounce(job* j, verb v, prim::thread_slot where) noexcept {
  void*& slot = prim::thread_value(where);
  if (slot != nullptr) {
    auto& queue = *static_cast<trampoline_queue*>(slot);
    j->next = nullptr;
    *queue.end = j;
    queue.end = &j->next;
    return;
  }
  trampoline_queue queue;
  slot = &queue;
  for (;;) {
    j->run(j, v);
    j = queue.first;
    if (j == nullptr) break;
    queue.first = j->next;
    if (queue.first == nullptr) queue.end = &queue.first;
  }
  slot = nullptr;
}

}  // namespace

void run_on_trampoline(job* j) noexcept { bounce(j, verb::run, prim::thread_slot::trampoline); }
void discard_on_trampoline(job* j) noexcept {
  bounce(j, verb::discard, prim::thread_slot::discarding);
}

const void* end_of_trampoline() noexcept {
  const void* const slot = prim::thread_value(prim::thread_slot::trampoline);
  return slot != nullptr ? static_cast<const trampoline_queue*>(slot)->end : nullptr;
}

executor_ref trampoline() noexcept {
  return {nullptr, [](void*, job* j) noexcept { run_on_trampoline(j); }};
}

}  // namespace heddle::inline HEDDLE_ABI::detail
