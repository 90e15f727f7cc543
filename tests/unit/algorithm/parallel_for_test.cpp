#include <heddle/algorithm/parallel_for.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <numeric>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/exec/default_pool.hpp>

#include "places.hpp"
#include "support/pools.hpp"

namespace {

using heddle::loop_options;
using heddle::parallel_for;
using heddle::parallel_for_blocks;
using heddle::parallel_for_each;
using heddle_test::at_every_place;
using heddle_test::interesting_sizes;
using heddle_test::workers;

std::string invalid_argument_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no std::invalid_argument";
}

TEST(parallel_for, calls_each_index_once_everywhere) {
  const heddle_test::watchdog dog;
  at_every_place([](auto&... where) {
    for (const std::size_t size : interesting_sizes()) {
      for (const std::size_t grain : {0UL, 1UL, 3UL, 1000UL}) {
        std::vector<int> calls(size);
        parallel_for(where..., std::size_t{0}, size,
                     [&](std::size_t i) { ++calls[static_cast<std::size_t>(i)]; },
                     {.grain = grain});
        ASSERT_EQ(std::count(calls.begin(), calls.end(), 1), std::ssize(calls))
            << size << " by " << grain;
      }
    }
  });
}

TEST(parallel_for, of_many_elements_finds_its_grain) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  std::vector<std::uint32_t> squares(1'000'000);
  parallel_for(pool, 0U, 1'000'000U, [&](std::uint32_t i) { squares[i] = i * i; });
  for (std::uint32_t i = 0; i != 1'000'000U; ++i) ASSERT_EQ(squares[i], i * i);
}

// Elements that are worth a thread each, with nothing said of it.
TEST(parallel_for, takes_a_second_thread_for_a_long_loop) {
  const heddle_test::watchdog dog;
  const auto others_help = [](auto& where) {
    std::atomic<int> others{0};
    const auto caller = std::this_thread::get_id();
    parallel_for(where, 0, 1'000'000, [&](int) {
      if (std::this_thread::get_id() != caller) ++others;
      if (others == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
    return others > 0;
  };
  heddle::thread_pool pool(workers(2));
  EXPECT_TRUE(pool.submit([&] { return others_help(pool); }).get());
  EXPECT_TRUE(others_help(pool));
  heddle::executor_ref executor = pool.executor();
  EXPECT_TRUE(others_help(executor));
}

TEST(parallel_for, of_few_cheap_elements_stays_with_the_caller) {
  bool elsewhere = false;
  const auto caller = std::this_thread::get_id();
  heddle::thread_pool pool(workers(2));
  for (int round = 0; round != 100; ++round) {
    // One that is interrupted for long may look like a long loop.
    bool now = false;
    parallel_for(pool, 0, 10, [&](int) { now = now || std::this_thread::get_id() != caller; });
    elsewhere = now;
    if (!now) break;
  }
  EXPECT_FALSE(elsewhere);
}

TEST(parallel_for, counts_with_any_integers_and_iterators) {
  std::atomic<long> sum{0};
  const auto add = [&](auto i) { sum += static_cast<long>(i); };
  parallel_for(-3, 4, add, {.grain = 1});
  EXPECT_EQ(sum.exchange(0), 0);
  parallel_for(std::int8_t{-128}, std::int8_t{127}, add, {.grain = 10});
  EXPECT_EQ(sum.exchange(0), -255);
  parallel_for(std::uint64_t{std::numeric_limits<std::uint64_t>::max() - 3},
               std::numeric_limits<std::uint64_t>::max(), [&](std::uint64_t i) { sum += i > 100; });
  EXPECT_EQ(sum.exchange(0), 3);
  parallel_for(0, std::size_t{5}, add);
  EXPECT_EQ(sum.exchange(0), 10);
  parallel_for(2U, 5, add);
  EXPECT_EQ(sum.exchange(0), 9);
  std::vector<int> v{1, 2, 3};
  parallel_for(v.begin(), v.end(), [](auto i) { *i *= 2; }, {.grain = 1});
  EXPECT_EQ(v, (std::vector{2, 4, 6}));
  parallel_for(v.data(), v.data() + 3, [](int* i) { *i *= 2; });
  EXPECT_EQ(v, (std::vector{4, 8, 12}));
}

TEST(parallel_for, refuses_an_inverted_range) {
  const auto nothing = [](auto...) { FAIL(); };
  EXPECT_EQ(invalid_argument_of([&] { parallel_for(5, 3, nothing); }),
            "parallel_for: the range ends 2 before it begins");
  EXPECT_EQ(invalid_argument_of([&] { parallel_for(5U, -1, nothing); }),
            "parallel_for: the range ends 6 before it begins");
  EXPECT_EQ(invalid_argument_of([&] { parallel_for(-1, 5U, nothing); }),
            "parallel_for: from -1 to an unsigned index");
  const std::vector<int> v(3);
  EXPECT_EQ(invalid_argument_of([&] { parallel_for_blocks(v.end(), v.begin(), nothing); }),
            "parallel_for_blocks: the range ends 3 before it begins");
  parallel_for(3, 3, nothing);
}

TEST(parallel_for, refuses_what_cannot_be_called_or_run_on) {
  const std::function<void(int)> empty;
  EXPECT_EQ(invalid_argument_of([&] { parallel_for(0, 3, empty); }),
            "parallel_for: a null callable");
  EXPECT_EQ(invalid_argument_of([&] { parallel_for(heddle::executor_ref{}, 0, 3, [](int) {}); }),
            "a parallel algorithm: no executor");
}

TEST(parallel_for, takes_callables_and_ranges_of_any_kind) {
  struct move_only {
    std::unique_ptr<std::atomic<int>> calls = std::make_unique<std::atomic<int>>(0);
    void operator()(int) { ++*calls; }
  } f;
  parallel_for(0, 10, f, {.grain = 1});
  EXPECT_EQ(*f.calls, 10);
  struct row {
    int n = 0;
    void fill() { n = 1; }
  };
  std::vector<row> rows(100);
  parallel_for_each(rows, &row::fill, {.grain = 7});
  EXPECT_EQ(
      std::accumulate(rows.begin(), rows.end(), 0, [](int s, const row& r) { return s + r.n; }),
      100);
  parallel_for_each(std::span(rows).subspan(50), [](row& r) { r.n = 2; });
  EXPECT_EQ(rows[49].n, 1);
  EXPECT_EQ(rows[50].n, 2);
  std::atomic<int> sum{0};
  parallel_for_each(std::views::iota(0, 10), [&](int i) { sum += i; }, {.grain = 1});
  EXPECT_EQ(sum, 45);
  std::vector<bool> bits(100);
  parallel_for_each(heddle::inline_executor{}, bits, [](auto&& bit) { bit = true; });
  EXPECT_TRUE(bits[99]);
}

TEST(parallel_for, blocks_cover_the_range_in_pieces_of_at_most_a_grain) {
  at_every_place([](auto&... where) {
    std::vector<int> calls(1000);
    std::atomic<bool> too_long{false};
    parallel_for_blocks(where..., 0, 1000,
                        [&](int begin, int end) {
                          if (end - begin > 64 || end <= begin) too_long = true;
                          for (int i = begin; i != end; ++i) ++calls[static_cast<std::size_t>(i)];
                        },
                        {.grain = 64});
    EXPECT_FALSE(too_long);
    EXPECT_EQ(std::count(calls.begin(), calls.end(), 1), 1000);
  });
}

TEST(parallel_for, nests) {
  const heddle_test::watchdog dog;
  at_every_place([](auto&... where) {
    std::vector<std::vector<int>> calls(20, std::vector<int>(50));
    parallel_for(where..., 0U, 20U,
                 [&](unsigned i) {
                   heddle::parallel_invoke([] {},
                                           [&] {
                                             parallel_for(where..., 0U, 50U,
                                                          [&](unsigned j) { ++calls[i][j]; },
                                                          {.grain = 5});
                                           });
                 },
                 {.grain = 1});
    for (const auto& c : calls) ASSERT_EQ(std::count(c.begin(), c.end(), 1), 50);
  });
}

TEST(parallel_for, rethrows_the_first_exception_when_nothing_runs_any_more) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  at_every_place([](auto&... where) {
    for (const std::size_t grain : {0UL, 1UL, 10UL}) {
      std::atomic<int> running{0};
      std::atomic<int> thrown{0};
      const auto f = [&](int i) {
        ++running;
        if (i % 50 == 49) {
          ++thrown;
          --running;
          throw std::out_of_range("element");
        }
        --running;
      };
      EXPECT_THROW(parallel_for(where..., 0, 500, f, {.grain = grain}), std::out_of_range);
      EXPECT_EQ(running, 0);
      EXPECT_GE(thrown, 1);
    }
  });
}

TEST(parallel_for, further_exceptions_go_to_the_unhandled_handler) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  heddle::thread_pool pool(workers(2));
  std::atomic<int> inside{0};
  EXPECT_THROW(parallel_for(pool, 0, 2,
                            [&](int) {
                              ++inside;
                              while (inside != 2) std::this_thread::yield();
                              throw std::runtime_error("both");
                            },
                            {.grain = 1}),
               std::runtime_error);
  EXPECT_EQ(log.count(), 1U);
}

// Counts, and breaks at one of its numbers.
struct torn {
  using iterator_category = std::random_access_iterator_tag;
  using value_type = int;
  using difference_type = std::ptrdiff_t;
  using pointer = const int*;
  using reference = int;
  std::ptrdiff_t at = 0;
  int operator*() const {
    if (at == 77) throw std::domain_error("torn");
    return 1;
  }
  int operator[](std::ptrdiff_t n) const { return *(*this + n); }
  torn& operator++() { return ++at, *this; }
  torn operator++(int) { return {at++}; }
  torn& operator--() { return --at, *this; }
  torn operator--(int) { return {at--}; }
  torn& operator+=(std::ptrdiff_t n) { return at += n, *this; }
  torn& operator-=(std::ptrdiff_t n) { return at -= n, *this; }
  [[maybe_unused]] friend torn operator+(torn i, std::ptrdiff_t n) { return {i.at + n}; }
  [[maybe_unused]] friend torn operator+(std::ptrdiff_t n, torn i) { return {i.at + n}; }
  [[maybe_unused]] friend torn operator-(torn i, std::ptrdiff_t n) { return {i.at - n}; }
  [[maybe_unused]] friend std::ptrdiff_t operator-(torn a, torn b) { return a.at - b.at; }
  [[maybe_unused]] friend bool operator==(torn, torn) = default;
  [[maybe_unused]] friend auto operator<=>(torn, torn) = default;
};
static_assert(std::random_access_iterator<torn>);

TEST(parallel_for, an_iterator_that_throws_is_an_exception_of_the_loop) {
  heddle::thread_pool pool(workers(2));
  const auto torn_range = std::ranges::subrange(torn{0}, torn{100});
  EXPECT_THROW(parallel_for_each(pool, torn_range, [](int) {}, {.grain = 1}), std::domain_error);
  EXPECT_THROW(parallel_for_each(torn_range, [](int) {}), std::domain_error);
}

// Jobs that begin after the loop find nothing of it, not even its stack.
TEST(parallel_for, a_job_that_is_late_does_nothing) {
  heddle::manual_executor manual;
  [&] {
    volatile int calls[100] = {};
    parallel_for(manual, 0, 100, [&](int i) { calls[i] = calls[i] + 1; }, {.grain = 1});
    for (const volatile int& c : calls) EXPECT_EQ(c, 1);
  }();
  EXPECT_EQ(manual.pending(), 1U);
  manual.drain();
}

TEST(parallel_for, helpers_have_the_callers_context) {
  const heddle_test::watchdog dog;
  static std::atomic<int> references;
  references = 0;
  heddle::context_node mine{[](heddle::context_node*) noexcept { ++references; },
                            [](heddle::context_node*) noexcept { --references; }};
  {
    heddle::thread_pool pool(workers(2));
    const heddle::context_scope inside(&mine);
    std::atomic<int> met{0};
    std::atomic<bool> other_context{false};
    const auto f = [&](int) {
      if (heddle::current_context() != &mine) other_context = true;
      ++met;
      while (met < 2) std::this_thread::yield();
    };
    heddle::executor_ref executor = pool.executor();
    parallel_for(executor, 0, 2, f, {.grain = 1});
    met = 0;
    parallel_for(pool, 0, 2, f, {.grain = 1});
    EXPECT_FALSE(other_context);
    pool.wait_idle();
  }
  EXPECT_EQ(references, 0);
}

// Each loop waits for a helper that may itself be in a loop.
TEST(parallel_for, from_several_threads_on_one_executor) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  heddle::executor_ref executor = pool.executor();
  heddle_test::run_together(4, [&](unsigned) {
    for (int round = 0; round != 50; ++round) {
      std::atomic<int> calls{0};
      parallel_for(executor, 0, 8,
                   [&](int) { parallel_for(pool, 0, 8, [&](int) { ++calls; }, {.grain = 1}); },
                   {.grain = 1});
      ASSERT_EQ(calls, 64);
    }
  });
}

// Each piece may be taken but the one that its owner is in the middle of: an element that waits for
// all behind it, which another worker has to run.
TEST(parallel_for, pieces_are_to_be_had_while_their_owner_is_in_another) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  for (const std::size_t size : {2UL, 3UL, 8UL, 9UL, 100UL}) {
    for (std::size_t waits = 0; waits + 1 < size; waits += 1 + size / 8) {
      std::atomic<std::size_t> behind{0};
      std::atomic<std::size_t> calls{0};
      const auto f = [&](std::size_t i) {
        ++calls;
        if (i > waits) ++behind;
        while (i == waits && behind != size - 1 - waits) std::this_thread::yield();
      };
      pool.submit([&] { parallel_for(std::size_t{0}, size, f, {.grain = 1}); }).get();
      ASSERT_EQ(calls, size);
    }
  }
}

// A worker comes for what another one takes off at the same time.
TEST(parallel_for, short_pieces_are_taken_from_both_sides) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(3));
  for (int round = 0; round != 300; ++round) {
    std::vector<std::atomic<int>> calls(50);
    pool.submit([&] {
          parallel_for(0, 5,
                       [&](int row) {
                         parallel_for(10 * row, 10 * row + 10,
                                      [&](int i) { ++calls[static_cast<std::size_t>(i)]; },
                                      {.grain = 1});
                       },
                       {.grain = 1});
        })
        .get();
    for (const auto& c : calls) ASSERT_EQ(c, 1);
  }
}

// The only worker of a pool has nobody to share a loop with, unless a piece is told.
TEST(parallel_for, on_the_only_worker_is_a_plain_loop) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(1));
  std::vector<int> order;
  int blocks = 0;
  pool.submit([&] {
        heddle::parallel_for_blocks(0, 100'000, [&](int first, int last) {
          ++blocks;
          order.push_back(first);
          order.push_back(last);
        });
      })
      .get();
  EXPECT_EQ(blocks, 1);
  EXPECT_EQ(order, (std::vector{0, 100'000}));
}

// More nesting than a stack holds: it goes on on others.
TEST(parallel_for, recursion_deeper_than_a_stack) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  std::atomic<int> calls{0};
  const std::function<void(int)> descend = [&](int depth) {
    ++calls;
    if (depth == 0) return;
    volatile char room[1000] = {};
    static_cast<void>(room[0]);
    parallel_for(0, 2,
                 [&](int i) {
                   if (i == 0) descend(depth - 1);
                 },
                 {.grain = 1});
    room[999] = 1;
  };
  pool.submit([&] { descend(10'000); }).get();
  EXPECT_EQ(calls, 10'001);
}

}  // namespace
