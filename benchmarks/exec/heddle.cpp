// Heddle's pool as it is when only the number of workers is told.
#include <heddle/exec/thread_pool.hpp>

#include <cstdint>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) : pool_(workers) {}

  template <class F>
  void post(F f) {
    pool_.post(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return pool_.submit(std::move(f));
  }
  template <class F>
  void post_bulk(std::uint64_t count, F f) {
    bulk_of(pool_, count, std::move(f));
  }

 private:
  // A template for the sake of the test whether the pool can do it by number.
  template <class Pool, class F>
  static void bulk_of(Pool& pool, std::uint64_t count, F f) {
    if constexpr (requires { pool.post_bulk(count, f); }) {
      pool.post_bulk(count, std::move(f));
    } else {
      const auto task = [f](std::uint64_t i) { return [f, i] { f(i); }; };
      std::vector<decltype(task(0))> tasks;
      tasks.reserve(count);
      for (std::uint64_t i = 0; i < count; ++i) tasks.push_back(task(i));
      pool.post_bulk(std::move(tasks));
    }
  }

  heddle::thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
