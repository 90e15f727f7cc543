// Heddle's coroutines on its pool, which fork and join. The calling thread is none of the workers.
#include <heddle/coro/fork.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

using result = heddle::coro::task<std::uint64_t>;
using value = heddle::coro::forked<std::uint64_t>;

std::atomic<std::size_t> bytes_of_fib;

// `measured` stores how large its frame is.
template <bool measured>
result fib(unsigned n) {
  if constexpr (measured) bytes_of_fib = __builtin_coro_size();
  if (n < 2) co_return n;
  auto a = co_await heddle::coro::fork(fib<measured>(n - 1));
  const std::uint64_t b = co_await fib<measured>(n - 2);
  co_await heddle::coro::join();
  co_return a.get() + b;
}

// What was forked, and is joined.
std::uint64_t sum_of(std::span<value> values, std::uint64_t first) {
  return std::accumulate(values.begin(), values.end(), first,
                         [](std::uint64_t sum, value& v) { return sum + v.get(); });
}

result count_nodes(bench::tree::node n) {
  if (bench::tree::is_leaf(n)) co_return 1;
  constexpr unsigned last = bench::tree::most_children - 1;
  std::array<value, last> below;
  for (unsigned i = 0; i < last; ++i)
    below[i] = co_await heddle::coro::fork(count_nodes(bench::tree::child(n, i)));
  const std::uint64_t own = co_await count_nodes(bench::tree::child(n, last));
  co_await heddle::coro::join();
  co_return sum_of(below, own + 1);
}

result count_all_nodes() {
  std::vector<value> below(bench::tree::children_of_root);
  for (unsigned i = 0; i < below.size(); ++i)
    below[i] = co_await heddle::coro::fork(count_nodes(bench::tree::child(bench::tree::root, i)));
  co_await heddle::coro::join();
  co_return sum_of(below, 1);
}

result count_solutions(bench::queens::board b, unsigned row) {
  if (row == bench::queens::size) co_return 1;
  const bench::queens::choices safe(b, row);
  if (safe.count == 0) co_return 0;
  std::array<value, bench::queens::size> below;
  const unsigned last = safe.count - 1;
  for (unsigned i = 0; i < last; ++i)
    below[i] = co_await heddle::coro::fork(count_solutions(safe.take(b, row, i), row + 1));
  const std::uint64_t own = co_await count_solutions(safe.take(b, row, last), row + 1);
  co_await heddle::coro::join();
  co_return sum_of(std::span(below).first(last), own);
}

result add_leaves(std::uint64_t first, std::uint64_t count) {
  if (count == 1) co_return first;
  constexpr std::size_t last = bench::skynet::children - 1;
  const std::uint64_t part = count / bench::skynet::children;
  std::array<value, last> below;
  for (std::size_t i = 0; i < last; ++i)
    below[i] = co_await heddle::coro::fork(add_leaves(first + i * part, part));
  const std::uint64_t own = co_await add_leaves(first + last * part, part);
  co_await heddle::coro::join();
  co_return sum_of(below, own);
}

class contender {
 public:
  explicit contender(unsigned threads) : pool_(threads) {}

  std::uint64_t fib(unsigned n) { return run(::fib<false>(n)); }
  std::size_t frame_bytes() {
    run(::fib<true>(2));
    return bytes_of_fib;
  }
  std::uint64_t tree_nodes() { return run(count_all_nodes()); }
  std::uint64_t queens_solutions() { return run(count_solutions(bench::queens::board{}, 0)); }
  std::uint64_t skynet_sum() { return run(add_leaves(0, bench::skynet::leaves)); }

 private:
  std::uint64_t run(result task) { return heddle::coro::spawn(pool_, std::move(task)).get(); }

  heddle::thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
