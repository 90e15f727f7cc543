#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The last reference is gone, so these fields are this thread's alone.
future_state::~future_state() {
  if (error_read_.get()) return;
  if (how() != outcome::error && how() != outcome::broken) return;
  try {
    report_unhandled(read_error());
  } catch (...) {
    report_unhandled(std::current_exception());
  }
}

bool future_state::cancel() noexcept {
  if (!try_claim()) {
    request_stop();
    return false;
  }
  spent.store(true, prim::release);
  drop_work();
  finish_with(outcome::cancelled);
  return true;
}

void future_state::finish_with(outcome how, std::exception_ptr error) noexcept {
  error_.set(std::move(error));
  outcome_.set(how);
  completion_.complete();
}

void future_state::await() {
  if (ready()) return;
  if (home_) {
    if (blocking_delegate* const delegate = current_blocking_delegate()) {
      delegate->help(home_, this);
    }
  }
  wait_for_completion(completion_, wait_kind::future);
}

void future_state::await_regardless() noexcept {
  try {
    await();
  } catch (...) {
    const unannounced_waits quietly;
    wait_for_completion(completion_, wait_kind::future);
  }
}

std::exception_ptr future_state::read_error() {
  switch (how()) {
    case outcome::value:
      return nullptr;
    case outcome::cancelled:
      return std::make_exception_ptr(cancelled());
    case outcome::broken:
      error_read_.set(true);
      return std::make_exception_ptr(broken_promise());
    default:
      error_read_.set(true);
      return error_.get();
  }
}

// Moves the error out, so that the last reference to the exception is the reader's: the producer,
// who may drop the state at the same time, has nothing to do with it any more.
void future_state::rethrow_error() {
  if (!failed()) return;
  if (how() != outcome::error) std::rethrow_exception(read_error());
  error_read_.set(true);
  std::rethrow_exception(error_.write([](std::exception_ptr& e) { return std::move(e); }));
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

executor_ref trampoline() noexcept {
  return {nullptr, [](void*, job* j) noexcept { run_on_trampoline(j); }};
}

}  // namespace heddle::inline HEDDLE_ABI::detail
