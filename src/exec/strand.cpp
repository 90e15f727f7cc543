#include <heddle/exec/retain_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/limits.hpp>

#include "future/trampoline.hpp"
#include "running_scope.hpp"
#include "strand_access.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace detail {

// One word says whether the strand is at work, and holds what was posted meanwhile. The job that
// does the work on the executor below is the core itself. Protocol: docs/protocols/strand.md.
//
// References: one for each strand object and each task that goes on here, and one for the work,
// from the post that finds the strand idle until it is idle again. The core keeps what is below.
class strand_core final : public job {
 public:
  explicit strand_core(executor_ref below) noexcept : job(&act), below_(below) {
    retain_executor(below_);
  }
  ~strand_core() { release_executor(below_); }
  strand_core(const strand_core&) = delete;
  strand_core& operator=(const strand_core&) = delete;

  void retain() noexcept { references_.fetch_add(1, prim::relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
  }

  // Requires: a reference is held, the caller's own or that of the work in progress.
  void accept(job* j) noexcept {
    job* newest = newest_.load(prim::relaxed);
    do {
      j->next = newest;
    } while (!newest_.compare_exchange_weak(newest, j, prim::acq_rel, prim::relaxed));
    if (newest != idle) return;
    retain();
    below_.post(this);
  }

 private:
  // The rest of the discarding.
  struct discarding final : job {
    explicit discarding(strand_core& core) noexcept : job(&act), of(core) {}
    static void act(job* j, verb v) noexcept {
      if (v == verb::run) static_cast<discarding*>(j)->of.discard_some();
    }
    strand_core& of;
  };

  static constexpr job* idle = nullptr;
  job* at_work() noexcept { return this; }  // and nothing was posted since it looked last

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<strand_core*>(j);
    if (v == verb::run) self->take_turn();
    if (v == verb::discard) self->discard_some();
  }

  void take_turn() noexcept {
    if (run_some()) {
      below_.post(this);  // to the end of the queue; another thread may have it at once
    } else {
      release();
    }
  }

  // True when there is more to do than one turn may.
  bool run_some() noexcept {
    const running_scope inside(this);
    for (unsigned left = prim::limits::strand_turn;; --left) {
      if (rest()) return false;
      if (left == 0) return true;
      job* const j = next();
      j->run(j, verb::run);
    }
  }

  // A coroutine that is discarded goes on, at once or as soon as the job on this thread's stack
  // returns. It is in the strand still, so the strand is not done before that.
  void discard_some() noexcept {
    while (!rest()) {
      job* const j = next();
      const void* const before = end_of_trampoline();
      j->run(j, verb::discard);
      if (end_of_trampoline() != before) return run_on_trampoline(&discards_);
    }
    release();
  }

  // Goes idle, unless there is a job. After true the work is the next poster's.
  bool rest() noexcept {
    if (oldest_.get() != nullptr) return false;
    job* newest = at_work();
    return newest_.load(prim::relaxed) == newest &&
           newest_.compare_exchange_strong(newest, idle, prim::release, prim::relaxed);
  }

  // The oldest job. Requires: there is one.
  job* next() noexcept {
    if (oldest_.get() == nullptr) take_posted();
    job* const j = oldest_.get();
    oldest_.set(j->next);
    return j;
  }

  // What was posted hangs together newest first: turned round.
  void take_posted() noexcept {
    job* j = newest_.exchange(at_work(), prim::acquire);
    job* older = nullptr;
    while (j != idle && j != at_work()) {
      job* const before = j->next;
      j->next = older;
      older = j;
      j = before;
    }
    oldest_.set(older);
  }

  const executor_ref below_;
  prim::atomic<job*> newest_{idle};
  prim::atomic<int> references_{1};
  prim::cell<job*> oldest_{nullptr};  // taken and not yet run, oldest first; the worker's own
  discarding discards_{*this};        // likewise
};

void strand_access::retain(strand_core& core) noexcept { core.retain(); }
void strand_access::release(strand_core& core) noexcept { core.release(); }

}  // namespace detail

detail::strand_core* strand::make(executor_ref below) { return new detail::strand_core(below); }

void strand::accept(void* self, job* j) noexcept {
  static_cast<detail::strand_core*>(self)->accept(j);
}

strand::strand(const strand& other) noexcept : core_(other.core_) { core_->retain(); }

strand& strand::operator=(const strand& other) noexcept {
  if (this == &other) return *this;
  other.core_->retain();
  core_->release();
  core_ = other.core_;
  return *this;
}

strand::~strand() { core_->release(); }

bool strand::running_in_this_thread() const noexcept {
  return detail::running_scope::inside(core_);
}

}  // namespace heddle::inline HEDDLE_ABI
