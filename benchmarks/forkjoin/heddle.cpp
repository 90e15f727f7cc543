// Heddle's pool as it is when only the number of workers is told. The calling thread is none of
// them.
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/exec/thread_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
    heddle::parallel_invoke(f, g);
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    heddle::parallel_for(std::size_t{0}, count, f, {.grain = 1});
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned threads) : pool_(threads) {}

  template <class F>
  auto run(const F& f) {
    return pool_.submit([&f] { return f(); }).get();
  }
  template <class F>
  auto inside(const F& f) {
    return run(f);
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
    heddle::parallel_for(std::size_t{0}, count, f);
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    heddle::parallel_for(std::size_t{0}, count, f, {.grain = 1});
  }
  void sort(std::int32_t* first, std::int32_t* last) {
    heddle::parallel_sort(std::span(first, last));
  }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    return heddle::parallel_reduce(std::span(first, last), std::uint64_t{0},
                                   std::plus<std::uint64_t>());
  }

 private:
  heddle::thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
