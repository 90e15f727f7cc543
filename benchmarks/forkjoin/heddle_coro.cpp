// Heddle's coroutines on its pool; gather runs them at the same time. The calling thread is none of
// the workers.
#include <heddle/coro/gather.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <ranges>
#include <utility>

#include "rows.hpp"

namespace {

using result = heddle::coro::task<std::uint64_t>;

std::atomic<std::size_t> bytes_of_fib;

// `measured` stores how large its frame is.
template <bool measured>
result fib(unsigned n) {
  if constexpr (measured) bytes_of_fib = __builtin_coro_size();
  if (n < 2) co_return n;
  const auto [a, b] = co_await heddle::coro::gather(fib<measured>(n - 1), fib<measured>(n - 2));
  co_return a + b;
}

result add_leaves(std::uint64_t first, std::uint64_t count) {
  if (count == 1) co_return first;
  const std::uint64_t part = count / bench::skynet::children;
  const auto below = co_await heddle::coro::gather(std::views::iota(0u, bench::skynet::children) |
                                                   std::views::transform([first, part](unsigned i) {
                                                     return add_leaves(first + i * part, part);
                                                   }));
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{0});
}

class contender {
 public:
  explicit contender(unsigned threads) : pool_(threads) {}

  std::uint64_t fib(unsigned n) { return run(::fib<false>(n)); }
  std::size_t frame_bytes() {
    run(::fib<true>(2));
    return bytes_of_fib;
  }
  std::uint64_t skynet_sum() { return run(add_leaves(0, bench::skynet::leaves)); }

 private:
  std::uint64_t run(result task) { return heddle::coro::spawn(pool_, std::move(task)).get(); }

  heddle::thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
