// citor. The calling thread is one of those at work, as it always is there.
#include <citor/thread_pool.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

citor::ThreadPool* pool = nullptr;

struct one_at_a_time : citor::DynamicHints {
  static constexpr std::size_t chunk = 1;
};

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
    pool->forkJoin<citor::CcdLocalForkJoinHints>(f, g);
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    pool->forkJoinAll<citor::CcdLocalForkJoinHints>(count, std::cref(f));
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned threads) : pool_(threads) { pool = &pool_; }

  template <class F>
  auto run(const F& f) {
    return f();
  }
  template <class F>
  auto inside(const F& f) {
    return f();
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
    pool_.parallelFor<citor::StaticHints>(0, count, [&f](std::size_t first, std::size_t last) {
      for (; first < last; ++first) f(first);
    });
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    pool_.parallelFor<one_at_a_time>(0, count, [&f](std::size_t first, std::size_t last) {
      for (; first < last; ++first) f(first);
    });
  }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    return pool_.parallelReduce<citor::FixedBlockReduceHints>(
        0, static_cast<std::size_t>(last - first), std::uint64_t{0},
        [first](std::size_t from, std::size_t to) {
          return std::accumulate(first + from, first + to, std::uint64_t{0});
        },
        std::plus<std::uint64_t>());
  }

 private:
  citor::ThreadPool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
