// The parallel algorithms of the standard library, which libstdc++ runs on TBB.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <execution>
#include <functional>
#include <numeric>
#include <vector>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned threads)
      : threads_(tbb::global_control::max_allowed_parallelism, threads),
        arena_(static_cast<int>(threads)) {}

  template <class F>
  auto inside(const F& f) {
    return arena_.execute([&f] { return f(); });
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
    if (places_.size() < count) places_.resize(count);
    const char* const first = places_.data();
    std::for_each(std::execution::par, first, first + count,
                  [&f, first](const char& at) { f(static_cast<std::size_t>(&at - first)); });
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    loop(count, f);
  }
  void sort(std::int32_t* first, std::int32_t* last) {
    std::sort(std::execution::par, first, last);
  }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    return std::reduce(std::execution::par, first, last, std::uint64_t{0},
                       std::plus<std::uint64_t>());
  }

 private:
  tbb::global_control threads_;
  tbb::task_arena arena_;
  std::vector<char>
      places_;  // nobody reads them: the algorithm wants iterators that refer to something
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
