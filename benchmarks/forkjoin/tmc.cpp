// TooManyCooks' coroutines on its ex_cpu. The calling thread is none of the workers.
#define TMC_IMPL
#include <tmc/ex_cpu.hpp>
#include <tmc/spawn_many.hpp>
#include <tmc/spawn_tuple.hpp>
#include <tmc/sync.hpp>
#include <tmc/task.hpp>
#include <tmc/utils.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>

#include "rows.hpp"

namespace {

using result = tmc::task<std::uint64_t>;

std::atomic<std::size_t> bytes_of_fib;

// `measured` stores how large its frame is.
template <bool measured>
result fib(unsigned n) {
  if constexpr (measured) bytes_of_fib = __builtin_coro_size();
  if (n < 2) co_return n;
  auto [a, b] = co_await tmc::spawn_tuple(fib<measured>(n - 1), fib<measured>(n - 2));
  co_return a + b;
}

result count_nodes(bench::tree::node n) {
  if (bench::tree::is_leaf(n)) co_return 1;
  const auto below = co_await tmc::spawn_many<bench::tree::most_children>(
      tmc::iter_adapter(0u, [n](unsigned i) { return count_nodes(bench::tree::child(n, i)); }));
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
}

result count_all_nodes() {
  const auto below = co_await tmc::spawn_many(
      tmc::iter_adapter(
          0u, [](unsigned i) { return count_nodes(bench::tree::child(bench::tree::root, i)); }),
      bench::tree::children_of_root);
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
}

result count_solutions(bench::queens::board b, unsigned row) {
  if (row == bench::queens::size) co_return 1;
  const bench::queens::choices safe(b, row);
  if (safe.count == 0) co_return 0;
  const auto below = co_await tmc::spawn_many(
      tmc::iter_adapter(0u,
                        [&](unsigned i) { return count_solutions(safe.take(b, row, i), row + 1); }),
      safe.count);
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{0});
}

result add_leaves(std::uint64_t first, std::uint64_t count) {
  if (count == 1) co_return first;
  const std::uint64_t part = count / bench::skynet::children;
  const auto below = co_await tmc::spawn_many<bench::skynet::children>(tmc::iter_adapter(
      0u, [first, part](unsigned i) { return add_leaves(first + i * part, part); }));
  co_return std::accumulate(below.begin(), below.end(), std::uint64_t{0});
}

template <class F>
tmc::task<void> one_of(const F& f, std::size_t i) {
  f(i);
  co_return;
}

template <class F>
tmc::task<void> all_of(const F& f, std::size_t count) {
  co_await tmc::spawn_many(
      tmc::iter_adapter(std::size_t{0}, [&f](std::size_t i) { return one_of(f, i); }), count);
}

class contender {
 public:
  explicit contender(unsigned threads) { pool_.set_thread_count(threads).init(); }

  std::uint64_t fib(unsigned n) { return run(::fib<false>(n)); }
  std::size_t frame_bytes() {
    run(::fib<true>(2));
    return bytes_of_fib;
  }
  std::uint64_t tree_nodes() { return run(count_all_nodes()); }
  std::uint64_t queens_solutions() { return run(count_solutions({}, 0)); }
  std::uint64_t skynet_sum() { return run(add_leaves(0, bench::skynet::leaves)); }

  template <class F>
  auto inside(const F& f) {
    return f();
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    tmc::post_waitable(pool_, all_of(f, count)).get();
  }

 private:
  std::uint64_t run(result task) { return tmc::post_waitable(pool_, std::move(task)).get(); }

  tmc::ex_cpu pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
