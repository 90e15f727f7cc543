// oneTBB. The calling thread is one of those at work, as it always is there.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/parallel_sort.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
    tbb::task_group group;
    group.run([&f] { f(); });
    g();
    group.wait();
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    if (count == 0) return;
    tbb::task_group group;
    for (std::size_t i = 0; i + 1 < count; ++i) group.run([&f, i] { f(i); });
    f(count - 1);
    group.wait();
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned threads)
      : threads_(tbb::global_control::max_allowed_parallelism, threads),
        stacks_(tbb::global_control::thread_stack_size, 64 << 20),
        arena_(static_cast<int>(threads)) {}

  template <class F>
  auto run(const F& f) {
    return arena_.execute([&f] { return f(); });
  }
  template <class F>
  auto inside(const F& f) {
    return run(f);
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count), [&f](const auto& range) {
      for (std::size_t i = range.begin(); i != range.end(); ++i) f(i);
    });
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    tbb::parallel_for(std::size_t{0}, count, f);
  }
  void sort(std::int32_t* first, std::int32_t* last) { tbb::parallel_sort(first, last); }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    return tbb::parallel_reduce(
        tbb::blocked_range(first, last), std::uint64_t{0},
        [](const auto& range, std::uint64_t before) {
          return std::accumulate(range.begin(), range.end(), before);
        },
        std::plus<std::uint64_t>());
  }

 private:
  tbb::global_control threads_;
  tbb::global_control stacks_;
  tbb::task_arena arena_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
