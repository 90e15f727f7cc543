// TooManyCooks' ex_cpu with plain functions as tasks.
#define TMC_IMPL
#include <tmc/ex_cpu.hpp>
#include <tmc/sync.hpp>

#include <cstdint>
#include <ranges>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) { pool_.set_thread_count(workers).init(); }

  template <class F>
  void post(F f) {
    tmc::post(pool_, std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return tmc::post_waitable(pool_, std::move(f));
  }
  template <class F>
  void post_bulk(std::uint64_t count, F f) {
    const auto tasks = std::views::iota(std::uint64_t{0}, count) |
                       std::views::transform([f](std::uint64_t i) { return [f, i] { f(i); }; });
    tmc::post_bulk(pool_, tasks.begin(), count);
  }

 private:
  tmc::ex_cpu pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
