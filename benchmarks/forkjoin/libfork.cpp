// libfork's lazy_pool, whose workers sleep when there is nothing to do, as Heddle's do.
#include <libfork.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <ranges>
#include <vector>

#include "rows.hpp"

namespace {

std::atomic<std::size_t> bytes_of_fib;

// `measured` stores how large its frame is.
template <bool measured>
constexpr auto fib = [](auto self, unsigned n) -> lf::task<std::uint64_t> {
  if constexpr (measured) bytes_of_fib = __builtin_coro_size();
  if (n < 2) co_return n;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  co_await lf::fork[&a, self](n - 1);
  co_await lf::call[&b, self](n - 2);
  co_await lf::join;
  co_return a + b;
};

constexpr auto count_nodes = [](auto self, bench::tree::node n) -> lf::task<std::uint64_t> {
  if (bench::tree::is_leaf(n)) co_return 1;
  std::array<std::uint64_t, bench::tree::most_children> below;
  constexpr unsigned last = bench::tree::most_children - 1;
  for (unsigned i = 0; i < last; ++i) co_await lf::fork[&below[i], self](bench::tree::child(n, i));
  co_await lf::call[&below[last], self](bench::tree::child(n, last));
  co_await lf::join;
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
};

constexpr auto count_all_nodes = [](auto) -> lf::task<std::uint64_t> {
  std::vector<std::uint64_t> below(bench::tree::children_of_root);
  for (unsigned i = 0; i < below.size(); ++i)
    co_await lf::fork[&below[i], count_nodes](bench::tree::child(bench::tree::root, i));
  co_await lf::join;
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
};

constexpr auto count_solutions = [](auto self, bench::queens::board b,
                                    unsigned row) -> lf::task<std::uint64_t> {
  if (row == bench::queens::size) co_return 1;
  const bench::queens::choices safe(b, row);
  std::array<std::uint64_t, bench::queens::size> below;
  for (unsigned i = 0; i < safe.count; ++i) {
    if (i + 1 < safe.count) {
      co_await lf::fork[&below[i], self](safe.take(b, row, i), row + 1);
    } else {
      co_await lf::call[&below[i], self](safe.take(b, row, i), row + 1);
    }
  }
  co_await lf::join;
  co_return std::accumulate(below.begin(), below.begin() + safe.count, std::uint64_t{0});
};

constexpr auto add_leaves = [](auto self, std::uint64_t first,
                               std::uint64_t count) -> lf::task<std::uint64_t> {
  if (count == 1) co_return first;
  std::array<std::uint64_t, bench::skynet::children> below;
  const std::uint64_t part = count / below.size();
  constexpr std::size_t last = bench::skynet::children - 1;
  for (std::size_t i = 0; i < last; ++i) co_await lf::fork[&below[i], self](first + i * part, part);
  co_await lf::call[&below[last], self](first + last * part, part);
  co_await lf::join;
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{0});
};

class contender {
 public:
  explicit contender(unsigned threads) : pool_(threads) {}

  std::uint64_t fib(unsigned n) { return lf::sync_wait(pool_, ::fib<false>, n); }
  std::size_t frame_bytes() {
    lf::sync_wait(pool_, ::fib<true>, 2u);
    return bytes_of_fib;
  }
  std::uint64_t tree_nodes() { return lf::sync_wait(pool_, count_all_nodes); }
  std::uint64_t queens_solutions() {
    return lf::sync_wait(pool_, count_solutions, bench::queens::board{}, 0u);
  }
  std::uint64_t skynet_sum() {
    return lf::sync_wait(pool_, add_leaves, std::uint64_t{0}, bench::skynet::leaves);
  }

  template <class F>
  auto inside(const F& f) {
    return f();
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    lf::sync_wait(pool_, lf::for_each, std::views::iota(std::size_t{0}, count), 1, f);
  }

 private:
  lf::lazy_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
