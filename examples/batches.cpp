// A function over many small items, a hundred at a time.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <ranges>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <heddle/algorithm/for_each_batch.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

std::atomic<std::size_t> inserted = 0;

void insert_rows(std::span<const int> rows) { inserted += rows.size(); }

}  // namespace

int main() {
  std::vector<int> rows(12'345);
  std::iota(rows.begin(), rows.end(), 0);

  // [each]
  const auto summary = heddle::for_each_batch(rows, insert_rows);
  std::printf("%zu rows in %zu batches\n", summary.done.items, summary.done.batches);
  // [each end]

  // [found]
  const auto measured = heddle::for_each_batch(rows, insert_rows, {.size = 0});
  // One item, then eight, and so on, until a batch takes about a millisecond.
  std::printf("%zu batches of a size that was found\n", measured.done.batches);
  // [found end]

  // [map]
  heddle::thread_pool pool(2U);
  std::istringstream numbers("3 1 4 1 5 9 2 6 5 3 5 8");
  std::string sums;
  heddle::map_batches(
      pool, std::ranges::istream_view<int>(numbers),
      [](std::span<int> batch) { return std::accumulate(batch.begin(), batch.end(), 0); },
      [&](int sum) { sums += std::to_string(sum) + " "; }, {.size = 5});
  // [map end]
  std::printf("%s\n", sums.c_str());

  // [slowly]
  using namespace std::chrono_literals;
  const auto slow = heddle::for_each_batch(std::span(rows).first(3000), insert_rows,
                                           {.size = 1000,
                                            .max_in_flight = 1,
                                            .pause = 2ms,
                                            .items_per_second = 1e6,
                                            .errors = heddle::batch_errors::collect});
  for (const auto& failure : slow.failures) {
    std::printf("batch %zu, from item %zu on\n", failure.batch, failure.first);
  }
  // [slowly end]
  return inserted == 27'690 && sums == "14 25 13 " ? 0 : 1;
}
