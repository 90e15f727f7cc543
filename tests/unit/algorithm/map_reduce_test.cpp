#include <heddle/algorithm/map_reduce.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

using heddle::manual_executor;
using heddle::map_reduce;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::watchdog;
using testing::ElementsAre;
using testing::Pair;

std::vector<int> random_numbers(std::size_t count, int below) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::uniform_int_distribution<int> value(0, below - 1);
  std::vector<int> all(count);
  for (int& v : all) v = value(random);
  return all;
}

// The sequential twin: for each key, in the order of first appearance, where it stands in the
// input.
using positions = std::vector<std::pair<int, std::vector<std::size_t>>>;
positions positions_one_by_one(const std::vector<int>& input) {
  positions all;
  std::map<int, std::size_t> place;
  for (std::size_t i = 0; i != input.size(); ++i) {
    const auto [it, fresh] = place.try_emplace(input[i], all.size());
    if (fresh) all.emplace_back(input[i], std::vector<std::size_t>());
    all[it->second].second.push_back(i);
  }
  return all;
}

template <class... Where>
positions positions_of(const std::vector<int>& input, std::size_t block, Where&... where) {
  return map_reduce<int, std::size_t>(
      where..., std::views::iota(std::size_t{0}, input.size()),
      [&input](std::size_t i, auto& emit) { emit(input[i], i); },
      [](int, auto found) { return std::vector<std::size_t>(found.begin(), found.end()); },
      {.block = block});
}

const auto summed = [](const auto&, auto values) {
  return std::accumulate(values.begin(), values.end(), 0);
};

TEST(map_reduce, groups_as_one_thread_would) {
  const watchdog dog;
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(workers);
    for (const unsigned size : {0U, 1U, 2U, 3U, 255U, 256U, 257U, 5000U}) {
      for (const int keys : {1, 7, 1000}) {
        const std::vector<int> input = random_numbers(size, keys);
        EXPECT_EQ(positions_of(input, 0, pool), positions_one_by_one(input))
            << size << " elements, " << keys << " keys, " << workers << " workers";
      }
    }
  }
}

TEST(map_reduce, has_the_same_result_for_blocks_of_any_size) {
  thread_pool pool(2U);
  const std::vector<int> input = random_numbers(300, 20);
  const positions expected = positions_one_by_one(input);
  for (const unsigned block : {1U, 2U, 299U, 300U, 1'000'000U}) {
    EXPECT_EQ(positions_of(input, block, pool), expected) << block;
  }
}

TEST(map_reduce, runs_on_the_default_pool_unless_told) {
  const watchdog dog;
  std::atomic<int> on_worker = 0;
  map_reduce<int, int>(
      std::views::iota(0, 100),
      [&](int i, auto& emit) {
        on_worker += heddle::default_pool().worker_index().has_value();
        emit(i, i);
      },
      summed);
  EXPECT_EQ(on_worker, 100);
}

TEST(map_reduce, runs_on_the_pool_of_the_calling_worker) {
  const watchdog dog;
  thread_pool pool(2U);
  const std::vector<int> input = random_numbers(500, 9);
  std::atomic<int> elsewhere = 0;
  pool.submit([&] {
        map_reduce<int, int>(
            input,
            [&](int i, auto& emit) {
              elsewhere += !pool.worker_index().has_value();
              emit(i, 1);
            },
            summed);
        EXPECT_EQ(positions_of(input, 0, pool), positions_one_by_one(input));
      })
      .get();
  EXPECT_EQ(elsewhere, 0);
}

TEST(map_reduce, runs_on_any_executor) {
  const watchdog dog;
  const std::vector<int> input = random_numbers(400, 30);
  const positions expected = positions_one_by_one(input);

  heddle::inline_executor in_place;
  EXPECT_EQ(positions_of(input, 0, in_place), expected);

  thread_pool pool(2U);
  heddle::strand one_by_one(pool);
  EXPECT_EQ(positions_of(input, 0, one_by_one), expected);
  const heddle::executor_ref lent = pool.executor();
  EXPECT_EQ(positions_of(input, 0, lent), expected);

  manual_executor loop;
  auto caller = pool.submit([&] {
    auto result = positions_of(input, 0, loop);
    loop.close();
    return result;
  });
  loop.run_until(heddle::prim::never);
  EXPECT_EQ(caller.get(), expected);
}

TEST(map_reduce, maps_an_element_to_any_number_of_pairs) {
  heddle::inline_executor here;
  const auto result = map_reduce<std::string, int>(
      here, std::vector<int>{0, 3, 1, 0, 2},
      [](int n, auto& emit) {
        for (int i = 0; i != n; ++i) emit(std::to_string(i), n);
      },
      summed);
  EXPECT_THAT(result, ElementsAre(Pair("0", 6), Pair("1", 5), Pair("2", 3)));
}

TEST(map_reduce, of_nothing_calls_nothing) {
  thread_pool pool(1U);
  const auto result =
      map_reduce<int, int>(pool, std::vector<int>(), [](int, auto& emit) { emit(1, 1); }, summed);
  EXPECT_TRUE(result.empty());
  EXPECT_EQ(pool.statistics().submitted, 0U);

  const auto no_pairs =
      map_reduce<int, int>(pool, std::vector<int>{1, 2}, [](int, auto&) {}, summed);
  EXPECT_TRUE(no_pairs.empty());
}

TEST(map_reduce, combines_in_the_order_of_the_input) {
  const watchdog dog;
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(workers);
    const auto result = map_reduce<int, std::string>(
        pool, std::views::iota(0, 1000),
        [](int i, auto& emit) { emit(i % 3, std::to_string(i) + " "); },
        [](std::string a, std::string b) { return std::move(a) + b; },
        [](int, auto parts) {
          std::string all;
          for (const std::string& p : parts) all += p;
          return all;
        });
    std::string expected[3];
    for (int i = 0; i != 1000; ++i) expected[i % 3] += std::to_string(i) + " ";
    EXPECT_THAT(result,
                ElementsAre(Pair(0, expected[0]), Pair(1, expected[1]), Pair(2, expected[2])));
  }
}

TEST(map_reduce, with_a_combiner_keeps_one_value_for_each_block) {
  heddle::inline_executor here;
  std::size_t most = 0;
  const auto result = map_reduce<int, int>(
      here, std::views::iota(0, 1000), [](int i, auto& emit) { emit(i % 2, i); }, std::plus<>(),
      [&](int, auto partial_sums) {
        most = std::max(most, partial_sums.size());
        return std::accumulate(partial_sums.begin(), partial_sums.end(), 0);
      },
      {.block = 100});
  EXPECT_THAT(result, ElementsAre(Pair(0, 249'500), Pair(1, 250'000)));
  EXPECT_EQ(most, 10U);
}

// A sum of floating-point numbers depends on how it is bracketed.
TEST(map_reduce, brackets_the_same_way_on_any_number_of_workers) {
  const watchdog dog;
  const std::vector<int> input = random_numbers(20'000, 50);
  const auto sums = [&](auto& where) {
    return map_reduce<int, double>(
        where, input, [](int i, auto& emit) { emit(i, 1.0 / (1 + i)); }, std::plus<>(),
        [](int, auto parts) { return std::accumulate(parts.begin(), parts.end(), 0.0); });
  };
  heddle::inline_executor here;
  const auto expected = sums(here);
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(workers);
    EXPECT_EQ(sums(pool), expected) << workers;
  }
}

struct pointee_hash {
  std::size_t operator()(const std::unique_ptr<int>& p) const { return std::hash<int>()(*p); }
};
struct pointee_equal {
  bool operator()(const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) const {
    return *a == *b;
  }
};

TEST(map_reduce, moves_keys_and_values_that_cannot_be_copied) {
  thread_pool pool(2U);
  const auto map = [](int i, auto& emit) {
    emit(std::make_unique<int>(i % 10), std::make_unique<int>(i));
  };
  const auto last = [](const std::unique_ptr<int>&, auto values) {
    std::unique_ptr<int> newest;
    for (auto& v : values) newest = std::move(v);
    return newest;
  };
  const auto check = [](const auto& result) {
    ASSERT_EQ(result.size(), 10U);
    for (int i = 0; i != 10; ++i) {
      EXPECT_EQ(*result[static_cast<std::size_t>(i)].first, i);
      EXPECT_EQ(*result[static_cast<std::size_t>(i)].second, 90 + i);
    }
  };
  using pointer = std::unique_ptr<int>;
  check(map_reduce<pointer, pointer, pointee_hash, pointee_equal>(pool, std::views::iota(0, 100),
                                                                  map, last));
  check(map_reduce<pointer, pointer, pointee_hash, pointee_equal>(
      pool, std::views::iota(0, 100), map, [](pointer, pointer b) { return b; }, last));
}

TEST(map_reduce, takes_truth_values) {
  heddle::inline_executor here;
  const auto result = map_reduce<bool, bool>(
      here, std::views::iota(0, 10), [](int i, auto& emit) { emit(i > 6, i % 2 == 0); },
      [](bool, auto evens) { return std::ranges::count(evens, true) == 4; });
  EXPECT_THAT(result, ElementsAre(Pair(false, true), Pair(true, false)));
}

struct same_hash {
  std::size_t operator()(int) const { return 42; }
};

TEST(map_reduce, tells_keys_of_equal_hash_apart) {
  heddle::inline_executor here;
  const auto map = [](int i, auto& emit) { emit(i / 2, 1); };
  const auto grouped = map_reduce<int, int, same_hash>(here, std::views::iota(0, 200), map, summed);
  const auto combined =
      map_reduce<int, int, same_hash>(here, std::views::iota(0, 200), map, std::plus<>(), summed);
  ASSERT_EQ(grouped.size(), 100U);
  for (int i = 0; i != 100; ++i) EXPECT_EQ(grouped[static_cast<std::size_t>(i)], std::pair(i, 2));
  EXPECT_EQ(combined, grouped);
}

TEST(map_reduce, gives_reduce_a_forward_range_that_knows_its_size) {
  heddle::inline_executor here;
  const auto result = map_reduce<int, int>(
      here, std::views::iota(0, 5), [](int i, auto& emit) { emit(0, i); },
      [](int, auto values) {
        static_assert(std::ranges::forward_range<decltype(values)>);
        static_assert(std::ranges::sized_range<decltype(values)>);
        return std::pair(values.size(), std::vector<int>(values.begin(), values.end()));
      });
  EXPECT_THAT(result, ElementsAre(Pair(0, Pair(5U, ElementsAre(0, 1, 2, 3, 4)))));
}

// What throws, and on what.

enum class part { map, combine, reduce, hash, equal, iterator };

struct trouble {
  part where;
  int key;
};
const trouble* at_hand = nullptr;

void may_throw(part where, int key) {
  if (at_hand != nullptr && at_hand->where == where && at_hand->key == key)
    throw std::out_of_range("trouble");
}
struct throwing_hash {
  std::size_t operator()(int key) const {
    may_throw(part::hash, key);
    return std::hash<int>()(key);
  }
};
struct throwing_equal {
  bool operator()(int a, int b) const {
    may_throw(part::equal, a);
    return a == b;
  }
};

struct payload : counted {
  explicit payload(int n) : number(n) {}
  int number;
};

template <class Where>
auto sums_with_trouble(Where& where, const trouble* what) {
  at_hand = what;
  const auto input = std::views::iota(0, 1000) | std::views::transform([](int i) {
                       may_throw(part::iterator, i);
                       return i;
                     });
  return map_reduce<int, payload, throwing_hash, throwing_equal>(
      where, input,
      [](int i, auto& emit) {
        may_throw(part::map, i);
        emit(i % 40, payload(i));
      },
      [](payload a, payload b) {
        may_throw(part::combine, a.number % 40);
        a.number += 40 * (b.number / 40);
        return a;
      },
      [](int key, auto values) {
        may_throw(part::reduce, key);
        return values.size();
      },
      {.block = 100});
}

TEST(map_reduce, rethrows_what_any_of_its_parts_throws_and_keeps_nothing) {
  const watchdog dog;
  const heddle_test::unhandled_log log;
  thread_pool pool(2U);
  heddle::inline_executor here;
  ASSERT_EQ(sums_with_trouble(pool, nullptr).size(), 40U);
  for (const part where :
       {part::map, part::combine, part::reduce, part::hash, part::equal, part::iterator}) {
    const trouble what{where, 17};
    EXPECT_THROW(sums_with_trouble(pool, &what), std::out_of_range) << static_cast<int>(where);
    EXPECT_EQ(counted::alive, 0);
    EXPECT_THROW(sums_with_trouble(here, &what), std::out_of_range) << static_cast<int>(where);
    EXPECT_EQ(counted::alive, 0);
  }
  at_hand = nullptr;
}

TEST(map_reduce, begins_nothing_more_after_an_exception) {
  heddle::inline_executor here;
  int mapped = 0;
  int reduced = 0;
  EXPECT_THROW((map_reduce<int, int>(
                   here, std::views::iota(0, 1000),
                   [&](int i, auto& emit) {
                     ++mapped;
                     if (i == 123) throw std::runtime_error("map");
                     emit(i, i);
                   },
                   [&](int, auto) { return ++reduced; }, {.block = 10})),
               std::runtime_error);
  EXPECT_EQ(mapped, 124);
  EXPECT_EQ(reduced, 0);
}

TEST(map_reduce, is_cancelled_by_a_stop) {
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  int mapped = 0;
  const auto run = [&] {
    return map_reduce<int, int>(here, std::views::iota(0, 1000),
                                [&](int i, auto& emit) {
                                  if (++mapped == 15) stop.request_stop();
                                  emit(i, i);
                                },
                                summed, {.block = 10, .stop = stop.get_token()});
  };
  EXPECT_THROW(run(), heddle::cancelled);
  EXPECT_EQ(mapped, 20);  // the block in which it came is finished
  EXPECT_THROW(run(), heddle::cancelled);
  EXPECT_EQ(mapped, 20);
}

TEST(map_reduce, that_is_done_is_not_cancelled) {
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  const auto result = map_reduce<int, int>(
      here, std::vector<int>{5}, [](int i, auto& emit) { emit(i, i); },
      [&](int, auto values) {
        stop.request_stop();
        return values.size();
      },
      {.stop = stop.get_token()});
  EXPECT_THAT(result, ElementsAre(Pair(5, 1U)));
}

TEST(map_reduce, refuses_what_is_not_there) {
  heddle::inline_executor here;
  const std::vector<int> input{1};
  const auto map = [](int i, auto& emit) { emit(i, i); };
  const heddle::executor_ref none;
  EXPECT_THROW((map_reduce<int, int>(none, input, map, summed)), std::invalid_argument);
  const std::function<int(int, int)> null;
  EXPECT_THROW((map_reduce<int, int>(here, input, map, null, summed)), std::invalid_argument);
}

TEST(map_reduce, is_done_by_its_caller_when_nobody_else_does_it) {
  const std::vector<int> input = random_numbers(300, 20);
  const positions expected = positions_one_by_one(input);
  manual_executor closed;
  closed.close();
  EXPECT_EQ(positions_of(input, 0, closed), expected);
  manual_executor idle;
  EXPECT_EQ(positions_of(input, 0, idle), expected);
  thread_pool pool(1U);
  pool.shutdown();
  EXPECT_EQ(positions_of(input, 0, pool), expected);
}

}  // namespace
