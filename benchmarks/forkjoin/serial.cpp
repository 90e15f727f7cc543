// No library at all: plain calls, plain loops, the standard algorithms.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
    g();
    f();
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    for (std::size_t i = 0; i < count; ++i) f(i);
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned) {}

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
    for (std::size_t i = 0; i < count; ++i) f(i);
  }
  void sort(std::int32_t* first, std::int32_t* last) { std::sort(first, last); }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    return std::accumulate(first, last, std::uint64_t{0});
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
