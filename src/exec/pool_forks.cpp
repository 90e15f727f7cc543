// Fork and join: docs/protocols/fork_join.md.

#include <new>
#include <string>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/thread.hpp>

#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Below this much the stack counts as used up: a task has a right to some of it.
constexpr std::uintptr_t stack_reserve = 256 * 1024;

void sleep_until(completion& done) noexcept {
  try {
    wait_for_completion(done, wait_kind::join);
  } catch (...) {
    // No spare worker is left, and the one who waits cannot do anything else.
    const unannounced_waits quietly;
    wait_for_completion(done, wait_kind::join);
  }
}

}  // namespace

// By a thread that is to be the owner.
void fork_lane::adopt() noexcept {
  const std::uintptr_t end = prim::end_of_stack();
  stack_end_ = end != 0 ? end + stack_reserve : 0;
}

// The reserve is for what a thread does when no other can go on in its stead.
bool fork_lane::stack_is_used_up() const noexcept {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return here < stack_end_ - stack_reserve / 2;
}

// Children may be pushed from here on. A worker that fell asleep while the lane was closed has not
// asked for any; then the owner asks itself, and is told at its first push.
void fork_lane::open() noexcept {
  if (depth_++ != 0) return;
  prim::thread_value(prim::thread_slot::fork_lane) = this;
  core_.open_lanes_.fetch_add(1, prim::seq_cst);
  prim::fence(prim::seq_cst);
  if (core_.state_.sleepers() != 0) deque_.ask();
}

void fork_lane::close() noexcept {
  if (--depth_ != 0) return;
  prim::thread_value(prim::thread_slot::fork_lane) = nullptr;
  core_.open_lanes_.fetch_sub(1, prim::release);
}

void fork_lane::wake() noexcept { core_.notify(); }

// The child, and the stack that it is on, may be gone as soon as it is done.
void fork_lane::run_stolen(fork_job& child) noexcept {
  child.thief_.store(this, prim::release);
  {
    const context_scope inside(child.context_);
    open();
    child.run_(&child);
    close();
  }
  child.done_.complete();
}

// What a child's thief has in its lane descends from the child, until that is done: a lane is empty
// when its owner steals. And what the owner of this lane waits for, it waits for these, too.
bool fork_lane::run_descendant_of(fork_job& child) noexcept {
  fork_lane* const thief = child.thief_.load(prim::acquire);
  if (thief == nullptr) return false;
  fork_job* next = nullptr;
  switch (thief->deque_.steal_if(next, [&]() noexcept { return !child.done_.done(); })) {
    case theft::success:
      run_stolen(*next);
      return true;
    case theft::empty:
      thief->deque_.ask();
      break;
    case theft::lost:
      break;
  }
  return false;
}

// The owner's lane is empty: who has taken its newest child has taken all before it.
void fork_lane::wait_for(fork_job& child) noexcept {
  for (unsigned turn = 1; !child.done_.done(); ++turn) {
    if (run_descendant_of(child)) {
      turn = 0;
      continue;
    }
    if (turn == prim::limits::fork_turns) {
      sleep_until(child.done_);
      return;
    }
    if (turn % prim::limits::fork_patience == 0) {
      fork_lane* const thief = child.thief_.load(prim::acquire);
      if (thief != nullptr && thief->deque_.is_asked()) thief->deque_.raise();
    }
    prim::pause();
  }
}

void worker::child_visit::run_child(job* j, verb v) noexcept {
  if (v == verb::help) return;
  child_visit& self = *static_cast<child_visit*>(j);
  // Also when the pool cancels: its parent waits for it, and is a task that has begun.
  self.of.lane->run_stolen(*std::exchange(self.child, nullptr));
}

// For a searcher. The owners of full lanes are asked, and have a moment to answer before a thief
// helps itself. `again` is set when there is something that was not to be had.
job* pool_core::stolen_child(worker& w, bool& again) noexcept {
  fork_lane* const own = lane_of(w);
  if (own == nullptr) return nullptr;
  const auto take_from = [&](fork_lane& lane) noexcept {
    fork_job* child = nullptr;
    w.held->steal_attempts.add();
    const fork_lane::theft result = lane.deque_.steal(child);
    if (result == fork_lane::theft::lost) again = true;
    if (result != fork_lane::theft::success) return false;
    w.held->steals.add();
    w.held->submitted.add();
    if (bounded_) enter_queue(1);
    w.visit.child = child;
    return true;
  };
  fork_lane* const first = lanes_of_threads_.load(prim::acquire);
  bool any = false;
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) {
    if (lane == own || lane->deque_.empty()) continue;
    if (take_from(*lane)) return &w.visit;
    lane->deque_.ask();
    any = true;
  }
  if (!any) return nullptr;
  for (unsigned n = prim::limits::fork_patience; n != 0; --n) prim::pause();
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) {
    if (lane == own || lane->deque_.empty()) continue;
    again = true;
    if (take_from(*lane)) return &w.visit;
    if (lane->deque_.is_asked() && lane->deque_.raise() == fork_lane::theft::success &&
        take_from(*lane)) {
      return &w.visit;
    }
  }
  return nullptr;
}

// The last look before a sleep. Who pushes does not fence: it is asked to tell, and fenced from
// here.
bool pool_core::any_child() noexcept {
  fork_lane* const first = lanes_of_threads_.load(prim::acquire);
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) lane->deque_.ask();
  return !prim::heavy_fence() || seems_to_have_children();
}

bool pool_core::seems_to_have_children() const noexcept {
  if (open_lanes_.load(prim::relaxed) == 0) return false;
  for (fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;
       lane = lane->next_) {
    if (!lane->deque_.empty()) return true;
  }
  return false;
}

// Null without memory for one.
fork_lane* pool_core::lane_of(worker& w) noexcept {
  if (w.lane != nullptr) return w.lane;
  fork_lane* lane = lanes_of_threads_.load(prim::acquire);
  while (lane != nullptr &&
         (lane->owned_.load(prim::relaxed) || lane->owned_.exchange(true, prim::acquire))) {
    lane = lane->next_;
  }
  if (lane == nullptr) {
    try {
      lane = new fork_lane(*this);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    lane->next_ = lanes_of_threads_.load(prim::relaxed);
    while (
        !lanes_of_threads_.compare_exchange_weak(lane->next_, lane, prim::release, prim::relaxed)) {
    }
  }
  lane->adopt();
  return w.lane = lane;
}

void pool_core::destroy_lanes() noexcept {
  for (fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;) {
    delete std::exchange(lane, lane->next_);
  }
}

void pool_core::call_on_worker(worker& w, fork_call call, void* context) {
  fork_lane* const lane = lane_of(w);
  if (lane == nullptr) return call(context, nullptr);
  if (!lane->has_stack()) {
    if (call_on_other_stack(call, context)) return;
    if (lane->stack_is_used_up()) {
      throw would_starve("parallel_invoke: the stack ends, and all " +
                         std::to_string(options_.max_spares) + " spare workers are in use");
    }
  }
  struct scope {
    fork_lane& lane;
    explicit scope(fork_lane& l) noexcept : lane(l) { lane.open(); }
    ~scope() { lane.close(); }
  } const open(*lane);
  call(context, lane);
}

// As a task of the pool, for which this worker waits: a spare one takes its place, with a stack of
// its own. False: there is none.
bool pool_core::call_on_other_stack(fork_call call, void* context) {
  struct errand final : job {
    errand(fork_call c, void* with) noexcept : job(&run), call(c), context(with) {}

    static void run(job* j, verb v) noexcept {
      if (v == verb::help) return;
      auto& self = *static_cast<errand*>(j);
      try {
        if (v == verb::discard) throw cancelled();
        call_with_lane(self.call, self.context);
      } catch (...) {
        self.failure = std::current_exception();
      }
      self.done.complete();
    }

    const fork_call call;
    void* const context;
    std::exception_ptr failure;
    completion done;
  };
  if (!spare_available()) return false;
  errand e(call, context);
  job_chain chain;
  chain.append(&e);
  enqueue(chain);  // or discards it
  sleep_until(e.done);
  if (e.failure != nullptr) std::rethrow_exception(std::move(e.failure));
  return true;
}

fork_lane* fork_lane::of_this_thread(thread_pool& pool) noexcept {
  fork_lane* const lane = of_this_thread();
  return lane != nullptr && &lane->core_ == pool.executor().self ? lane : nullptr;
}

namespace {

// Null on other threads, and in a process that a task forked off.
worker* worker_in_a_task() noexcept {
  auto* const w = static_cast<worker*>(prim::thread_value(prim::thread_slot::worker));
  return w != nullptr && w->depth != 0 && w->core.is_of_this_process() ? w : nullptr;
}

// For a thread that is no worker of the pool, and waits. When this throws what the call did not,
// `begun` is false, and the call will never be made.
void call_as_task(thread_pool& pool, fork_call call, void* context, bool& begun) {
  future<void> done = pool.submit(named("fork-join", [&begun, call, context] {
    begun = true;
    if (worker* const w = worker_in_a_task()) return w->core.call_on_worker(*w, call, context);
    call(context, nullptr);  // in the submitter's stead
  }));
  try {
    done.wait();
  } catch (...) {
    if (done.cancel()) throw;
    access::state(done, "parallel_invoke")->await_regardless();
  }
  done.get();
}

}  // namespace

void call_with_lane(thread_pool& pool, fork_call call, void* context) {
  worker* const w = worker_in_a_task();
  if (w != nullptr && &w->core == pool.executor().self) {
    return w->core.call_on_worker(*w, call, context);
  }
  bool begun = false;
  call_as_task(pool, call, context, begun);
}

void call_with_lane(fork_call call, void* context) {
  if (worker* const w = worker_in_a_task()) return w->core.call_on_worker(*w, call, context);
  bool begun = false;
  try {
    call_as_task(default_pool(), call, context, begun);
  } catch (...) {
    if (begun) throw;
    call(context, nullptr);  // without a pool in its own stead
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
