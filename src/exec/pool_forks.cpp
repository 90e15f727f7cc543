// Fork and join: docs/protocols/fork_join.md.

#include <algorithm>
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/exec/standing.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/thread.hpp>

#include "fresh_turns.hpp"
#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Below this much, or a quarter where that is less, the stack counts as used up: a task has a right
// to some of it.
constexpr std::uintptr_t stack_reserve = std::uintptr_t{256} * 1024;

}  // namespace

fork_lane::fork_lane(pool_core& core) : home_{&core, pool_executor_post}, core_(core) {}

// By a thread that is to be the owner.
void fork_lane::adopt(worker_mark& mark) noexcept {
  mark_ = &mark;
  const prim::stack_bounds stack = prim::bounds_of_stack();
  const std::uintptr_t reserve = std::min<std::uintptr_t>(stack_reserve, stack.size / 4);
  stack_end_ = stack.end + reserve;
  stack_floor_ = stack.end + reserve / 2;
}

// Children may be pushed from here on. A worker that fell asleep while the lane was closed has not
// asked for any; then the owner asks itself, and is told at its first push.
void fork_lane::open() noexcept {
  if (depth_++ != 0) return;
  prim::thread_value(prim::thread_slot::fork_lane) = this;
  is_open_.store(true, prim::relaxed);
  core_.open_lanes_.fetch_add(1, prim::seq_cst);
  prim::fence(prim::seq_cst);
  if (core_.state_.sleepers() != 0) deque_.ask();
}

void fork_lane::close() noexcept {
  if (--depth_ != 0) return;
  prim::thread_value(prim::thread_slot::fork_lane) = nullptr;
  is_open_.store(false, prim::relaxed);
  core_.open_lanes_.fetch_sub(1, prim::release);
}

// In a child that a task forked off nobody sleeps, and what the pool's locks guard is a copy that
// may be half changed.
void fork_lane::wake() noexcept {
  if (core_.is_of_this_process()) core_.notify();
}

// The entry, and the stack or frame that it is in, may be gone when it has been run.
void fork_lane::run_stolen(fork_entry& child) noexcept {
  const std::uint8_t outer = mark_->level.exchange(child.level_);
  open();
  child.taken_(&child, *this);
  close();
  mark_->level = outer;
}

// The child, and the stack that it is on, may be gone as soon as it is done.
void fork_job::run_stolen(fork_lane& thief, body run) noexcept {
  thief_.store(&thief, prim::release);
  {
    const context_scope inside(context_);
    run(this);
  }
  done_.complete();
}

// What a child's thief has in its lane descends from the child, until that is done: a lane is empty
// when its owner steals. And what the owner of this lane waits for, it waits for these, too. The
// rest of a coroutine is left to searchers and to its owner, which goes on with it by itself.
bool fork_lane::run_descendant_of(fork_job& child) noexcept {
  fork_lane* const thief = child.thief_.load(prim::acquire);
  if (thief == nullptr) return false;
  std::uintptr_t next = 0;
  bool is_rest = false;
  const auto may = [&](std::uintptr_t word) noexcept {
    is_rest = fork_ref(word).is_rest();
    return !is_rest && !child.done_.done();
  };
  switch (thief->deque_.steal_if(next, may)) {
    case theft::success: {
      const fresh_turns inside;
      run_stolen(*fork_ref(next).entry());
      return true;
    }
    case theft::empty:
      if (!is_rest) thief->deque_.ask();
      break;
    case theft::lost:
      break;
  }
  return false;
}

// The owner's lane is empty: who has taken its newest child has taken all before it.
void fork_lane::wait_for(fork_job& child) noexcept {
  if (!core_.is_of_this_process()) core_.end_forked_task();
  for (unsigned turn = 1; !child.done_.done(); ++turn) {
    if (run_descendant_of(child)) {
      turn = 0;
      continue;
    }
    if (turn == prim::limits::fork_turns) {
      wait_regardless(child.done_, wait_kind::join);
      return;
    }
    if (turn % prim::limits::fork_patience == 0) {
      fork_lane* const thief = child.thief_.load(prim::acquire);
      if (thief != nullptr && thief->deque_.is_asked()) thief->deque_.raise();
    }
    prim::pause();
  }
}

// No task: it is part of one that has begun, and runs also while the pool gives up what has not.
// But the rest of a coroutine may end long after the job that pushed it. So a visit is counted, and
// begins before the theft: the job still runs then.
void worker::child_visit::run_child(job* j, verb) noexcept {
  child_visit& self = *static_cast<child_visit*>(j);
  ++self.of.depth;
  self.of.lane->run_stolen(*std::exchange(self.child, nullptr));
  --self.of.depth;
  self.of.lane->visits_ended_.add();
}

// For a searcher. The owners of full lanes are asked, and have a moment to answer before a thief
// helps itself. `again` is set when there is something that was not to be had.
job* pool_core::stolen_child(worker& w, bool& again) noexcept {
  fork_lane* const own = lane_of(w);
  if (own == nullptr) return nullptr;
  const auto take_from = [&](fork_lane& lane) noexcept {
    std::uintptr_t child = 0;
    bool counted = false;
    w.held->steal_attempts.add();
    const fork_lane::theft result = lane.deque_.steal_if(child, [&](std::uintptr_t) noexcept {
      own->visits_begun_.add();
      return counted = true;
    });
    if (result == fork_lane::theft::lost) again = true;
    if (result != fork_lane::theft::success) {
      if (counted) own->visits_ended_.add();
      return false;
    }
    w.held->steals.add();
    w.visit.child = fork_ref(child).entry();
    return true;
  };
  fork_lane* const first = lanes_of_threads_.load(prim::acquire);
  bool any = false;
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) {
    if (lane == own || !lane->may_have_children()) continue;
    if (take_from(*lane)) return &w.visit;
    lane->deque_.ask();
    any = true;
  }
  if (!any) return nullptr;
  for (unsigned n = prim::limits::fork_patience; n != 0; --n) prim::pause();
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) {
    if (lane == own || !lane->may_have_children()) continue;
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
// here; unless there is something to be seen without. Who opens a lane looks for sleepers itself.
bool pool_core::any_child() noexcept {
  fork_lane* const first = lanes_of_threads_.load(prim::acquire);
  for (fork_lane* lane = first; lane != nullptr; lane = lane->next_) {
    if (lane->is_open_.load(prim::relaxed)) lane->deque_.ask();
  }
  return seems_to_have_children() || !prim::heavy_fence() || seems_to_have_children();
}

bool pool_core::seems_to_have_children() const noexcept {
  if (open_lanes_.load(prim::relaxed) == 0) return false;
  for (fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;
       lane = lane->next_) {
    if (lane->may_have_children()) return true;
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
  lane->adopt(w.mark);
  return w.lane = lane;
}

// For a task that waits for others of its group, which this thread might as well run on top of it.
// Where the stack ends a spare worker does, with a stack of its own.
bool worker::may_run_ahead() {
  if (depth == 0) return false;  // in a hook: the task would run uncounted
  const fork_lane* const stack = core.lane_of(*this);
  if (stack == nullptr) return false;
  if (stack->has_stack()) return true;
  if (core.spare_available()) return false;
  if (stack->stack_is_used_up()) core.refuse_for_want_of_stack("task_group");
  return true;
}

void pool_core::refuse_for_want_of_stack(const char* operation) const {
  if (cancelling_.load(prim::acquire)) {
    throw cancelled(std::string(operation) + ": the stack ends, and the pool begins nothing more");
  }
  throw would_starve(std::string(operation) + ": the stack ends, and all " +
                     std::to_string(options_.max_spares) + " spare workers are in use");
}

void pool_core::destroy_lanes() noexcept {
  for (fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;) {
    delete std::exchange(lane, lane->next_);
  }
}

void pool_core::call_on_worker(worker& w, fork_call call, void* context) {
  fork_lane* const lane = lane_of(w);
  if (lane == nullptr) return call(context, nullptr);
  struct scope {
    fork_lane& lane;
    const std::uintptr_t stack_end = lane.stack_end_;
    explicit scope(fork_lane& l) noexcept : lane(l) { lane.open(); }
    ~scope() {
      lane.close();
      lane.stack_end_ = stack_end;
    }
  };
  if (!lane->has_stack()) {
    if (call_on_other_stack(w, call, context)) return;
    if (lane->stack_is_used_up()) refuse_for_want_of_stack("parallel_invoke");
    // On what was kept for this case.
    const scope open(*lane);
    lane->stack_end_ = lane->stack_floor_;
    return call(context, lane);
  }
  const scope open(*lane);
  call(context, lane);
}

// As a task of the pool, for which this worker waits: a spare one takes its place, with a stack of
// its own. False: there is none, and nothing has been called.
bool pool_core::call_on_other_stack(worker& w, fork_call call, void* context) {
  struct errand final : job {
    errand(fork_call c, void* with) noexcept : job(&run), call(c), context(with) {}

    static void run(job* j, verb v) noexcept {
      if (v == verb::help) return;
      auto& self = *static_cast<errand*>(j);
      self.state.store(v == verb::run ? begun : refused, prim::release);
      if (v == verb::run) {
        const context_scope inside(self.inside);
        try {
          call_with_lane(self.call, self.context);
        } catch (...) {
          self.failure = std::current_exception();
        }
      }
      self.done.complete();
    }

    enum progress { queued, begun, refused };

    const fork_call call;
    void* const context;
    const context_ref inside = current_context();
    prim::atomic<progress> state{queued};
    std::exception_ptr failure;
    completion done;
  };
  // A thread that has to be started for it may be refused, and nobody would try again; or others
  // may have had the last one. A worker that is only late, on a machine with much to do, is worth a
  // longer wait: what is left of this stack is little.
  constexpr auto patience = std::chrono::milliseconds(10);
  constexpr unsigned most_turns = 100;
  if (stopping_.load(prim::acquire) || !spare_available()) return false;
  const std::uint64_t refused_before = refused_threads_.read();
  errand e(call, context);
  job_chain chain;
  chain.append(&e);
  enqueue(chain);  // or refuses it
  for (unsigned turn = 1; e.state.load(prim::acquire) == errand::queued &&
                          !wait_regardless(e.done, wait_kind::join, prim::deadline_after(patience));
       ++turn) {
    if (e.state.load(prim::acquire) != errand::queued) break;
    const bool hopeless = turn >= most_turns || refused_threads_.read() != refused_before;
    if (hopeless && w.take_if_newest(&e)) {
      w.held->started.add();
      w.held->completed.add();
      if (bounded_) leave_queue(1);
      return false;
    }
    notify();
  }
  wait_regardless(e.done, wait_kind::join);
  if (e.state.load(prim::acquire) == errand::refused) return false;
  if (e.failure != nullptr) std::rethrow_exception(std::move(e.failure));
  return true;
}

fork_lane* fork_lane::open_for(executor_ref home) noexcept {
  worker* const w = worker_in_a_task();
  if (w == nullptr || home.self != &w->core) return nullptr;
  fork_lane* const lane = w->core.lane_of(*w);
  if (lane == nullptr || lane->depth_ != 0 || !lane->serves(home)) return nullptr;
  lane->open();
  return lane;
}

// What was taken from lanes, and has ended: see in_flight().
std::uint64_t pool_core::visits_ended() const noexcept {
  std::uint64_t visits = 0;
  for (const fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;
       lane = lane->next_) {
    visits += lane->visits_ended_.read();
  }
  return visits;
}

std::uint64_t pool_core::visits_begun() const noexcept {
  std::uint64_t visits = 0;
  for (const fork_lane* lane = lanes_of_threads_.load(prim::acquire); lane != nullptr;
       lane = lane->next_) {
    visits += lane->visits_begun_.read();
  }
  return visits;
}

fork_lane* fork_lane::of_this_thread(thread_pool& pool) noexcept {
  fork_lane* const lane = of_this_thread();
  return lane != nullptr && &lane->core_ == pool.executor().self ? lane : nullptr;
}

worker* worker_in_a_task() noexcept {
  auto* const w = static_cast<worker*>(prim::thread_value(prim::thread_slot::worker));
  return w != nullptr && w->depth != 0 && w->core.is_of_this_process() ? w : nullptr;
}

namespace {

// Not inlined: the callers mostly name no pool, and need no stack frame then.
[[gnu::noinline]] bool is_in(const pool_core& core, thread_pool& pool) noexcept {
  return &core == pool.executor().self;
}

}  // namespace

standing standing_in(thread_pool* pool) noexcept {
  const auto* const w = static_cast<worker*>(
      prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::worker)]);
  if (w == nullptr || w->depth == 0 || !w->core.is_of_this_process()) return standing::outside;
  const standing inside = w->core.has_one_worker() ? standing::only_worker : standing::worker;
  return pool == nullptr || is_in(w->core, *pool) ? inside : standing::outside;
}

namespace {

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
