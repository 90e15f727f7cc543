// oneTBB: an arena whose slots are all for workers, since the submitter is none. task_group::run
// would be faster, but what it got need not run before somebody waits for the group: here some
// tasks lay for good.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

#include <cstdint>
#include <future>
#include <utility>

#include "rows.hpp"

namespace {

// enqueue calls what it was given as const.
template <class R>
struct const_task {
  mutable std::packaged_task<R()> body;
  void operator()() const { body(); }
};

class contender {
 public:
  // Without the control TBB starts one worker less than there are cores.
  explicit contender(unsigned workers)
      : threads_(tbb::global_control::max_allowed_parallelism, workers + 1),
        arena_(static_cast<int>(workers), 0),
        arena_of_loops_(static_cast<int>(workers), 1) {}

  template <class F>
  void post(F f) {
    arena_.enqueue(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    const_task<decltype(f())> task{std::packaged_task<decltype(f())()>(std::move(f))};
    auto result = task.body.get_future();
    arena_.enqueue(std::move(task));
    return result;
  }
  // The submitter is one of the `workers` here, as it always is in a parallel_for.
  template <class F>
  void post_bulk(std::uint64_t count, F f) {
    arena_of_loops_.execute(
        [&] { tbb::parallel_for(std::uint64_t{0}, count, f, tbb::simple_partitioner()); });
  }

 private:
  tbb::global_control threads_;
  tbb::task_arena arena_;
  tbb::task_arena arena_of_loops_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
