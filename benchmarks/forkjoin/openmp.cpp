// OpenMP as the compiler has it (libgomp with g++), and the parallel sort that libstdc++ builds on
// it. The calling thread is one of those at work. Its tasks do not compare with the others': it
// runs them at once when many are waiting.
#include <omp.h>
#include <parallel/algorithm>

#include <cstddef>
#include <cstdint>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
#pragma omp task untied default(none) shared(f)
    f();
    g();
#pragma omp taskwait
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    for (std::size_t i = 0; i < count; ++i) {
#pragma omp task untied default(none) shared(f) firstprivate(i)
      f(i);
    }
#pragma omp taskwait
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned threads) { omp_set_num_threads(static_cast<int>(threads)); }

  template <class F>
  auto run(const F& f) {
    decltype(f()) result{};
#pragma omp parallel
#pragma omp single
    result = f();
    return result;
  }
  template <class F>
  auto inside(const F& f) {
    return f();
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < count; ++i) f(i);
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < count; ++i) f(i);
  }
  void sort(std::int32_t* first, std::int32_t* last) { __gnu_parallel::sort(first, last); }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    std::uint64_t total = 0;
#pragma omp parallel for reduction(+ : total)
    for (const std::uint32_t* at = first; at < last; ++at) total += *at;
    return total;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
