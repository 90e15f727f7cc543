#include <heddle/algorithm/for_each_batch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <ranges>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/algorithm/batch_rhythm.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

using heddle::batch_errors;
using heddle::for_each_batch;
using heddle::map_batches;
using heddle::thread_pool;
using heddle_test::watchdog;
using testing::ElementsAre;
using namespace std::chrono_literals;

std::vector<int> numbers(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

// Items of all batches, whoever handles them.
class collector {
 public:
  template <class Batch>
  void operator()(const Batch& batch) {
    const std::lock_guard lock(mutex_);
    sizes_.push_back(static_cast<std::size_t>(std::ranges::distance(batch)));
    for (const int i : batch) items_.push_back(i);
  }
  std::vector<int> sorted() {
    std::sort(items_.begin(), items_.end());
    return items_;
  }
  const std::vector<std::size_t>& sizes() const { return sizes_; }

 private:
  std::mutex mutex_;
  std::vector<int> items_;
  std::vector<std::size_t> sizes_;
};

TEST(for_each_batch, sees_every_item_once) {
  const watchdog dog;
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(workers);
    for (const int n : {0, 1, 99, 100, 101, 1000, 2345}) {
      for (const unsigned size : {0U, 1U, 7U, 100U, 5000U}) {
        collector seen;
        const auto summary = for_each_batch(pool, numbers(n), std::ref(seen), {.size = size});
        EXPECT_EQ(seen.sorted(), numbers(n));
        EXPECT_EQ(summary.done.items, static_cast<std::size_t>(n));
        EXPECT_EQ(summary.done.batches, seen.sizes().size());
        EXPECT_EQ(summary.done.failed, 0U);
        EXPECT_FALSE(summary.stopped);
        if (size != 0) {
          EXPECT_EQ(summary.done.batches, (static_cast<std::size_t>(n) + size - 1) / size);
        }
      }
    }
  }
}

TEST(for_each_batch, has_a_hundred_items_in_a_batch_unless_told) {
  heddle::inline_executor here;
  collector seen;
  for_each_batch(here, numbers(250), std::ref(seen));
  EXPECT_THAT(seen.sizes(), ElementsAre(100, 100, 50));
}

TEST(for_each_batch, runs_on_the_default_pool_unless_told) {
  const watchdog dog;
  std::atomic<int> elsewhere = 0;
  const auto summary = for_each_batch(numbers(500), [&](std::span<int>) {
    elsewhere += !heddle::default_pool().worker_index().has_value();
  });
  EXPECT_EQ(summary.done.batches, 5U);
  EXPECT_EQ(elsewhere, 0);
}

TEST(for_each_batch, lends_the_elements_of_a_contiguous_range) {
  heddle::inline_executor here;
  std::vector<int> input = numbers(10);
  for_each_batch(here, input,
                 [](std::span<int> batch) {
                   for (int& i : batch) i *= 2;
                 },
                 {.size = 3});
  EXPECT_EQ(input.back(), 18);

  const std::vector<int> constant = numbers(4);
  int sum = 0;
  for_each_batch(here, constant,
                 [&](std::span<const int> b) { sum += std::accumulate(b.begin(), b.end(), 0); });
  EXPECT_EQ(sum, 6);
}

TEST(for_each_batch, lends_the_elements_of_any_range_that_can_be_read_twice) {
  heddle::inline_executor here;
  std::list<std::unique_ptr<int>> input;
  for (int i = 0; i != 10; ++i) input.push_back(std::make_unique<int>(i));
  std::vector<std::size_t> sizes;
  for_each_batch(here, input,
                 [&](auto batch) {
                   sizes.push_back(static_cast<std::size_t>(std::ranges::distance(batch)));
                   for (std::unique_ptr<int>& p : batch) ++*p;
                 },
                 {.size = 4});
  EXPECT_THAT(sizes, ElementsAre(4, 4, 2));
  EXPECT_EQ(*input.front(), 1);
  EXPECT_EQ(*input.back(), 10);

  collector seen;
  for_each_batch(here, std::views::iota(0, 10), std::ref(seen), {.size = 4});
  EXPECT_THAT(seen.sizes(), ElementsAre(4, 4, 2));
  EXPECT_EQ(seen.sorted(), numbers(10));
}

TEST(for_each_batch, buffers_a_range_that_is_read_once) {
  const watchdog dog;
  thread_pool pool(2U);
  std::istringstream text("1 2 3 4 5 6 7");
  collector seen;
  for_each_batch(pool, std::ranges::istream_view<int>(text), std::ref(seen), {.size = 3});
  EXPECT_THAT(seen.sorted(), ElementsAre(1, 2, 3, 4, 5, 6, 7));

  std::istringstream more("1 2 3 4 5");
  std::mutex mutex;
  std::vector<std::vector<int>> kept;
  for_each_batch(pool, std::ranges::istream_view<int>(more),
                 [&](std::vector<int> batch) {
                   const std::lock_guard lock(mutex);
                   kept.push_back(std::move(batch));
                 },
                 {.size = 4});
  EXPECT_THAT(kept, testing::UnorderedElementsAre(ElementsAre(1, 2, 3, 4), ElementsAre(5)));
}

// Endless, and read only once.
struct counter {
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    std::atomic<int>* steps;
    int operator*() const { return *steps; }
    iterator& operator++() {
      ++*steps;
      return *this;
    }
    void operator++(int) { ++*this; }
  };

  std::atomic<int> steps = 0;
  iterator begin() { return {&steps}; }
  std::unreachable_sentinel_t end() const { return {}; }
};

TEST(for_each_batch, reads_no_further_than_there_is_room) {
  heddle::manual_executor loop;
  heddle::prim::stop_source stop;
  counter input;
  thread_pool caller(1U);
  const watchdog dog;
  std::vector<int> seen;
  auto done = caller.submit([&] {
    return for_each_batch(loop, input,
                          [&](std::span<int> batch) {
                            seen.insert(seen.end(), batch.begin(), batch.end());
                            if (seen.size() == 100) stop.request_stop();
                          },
                          {.size = 10, .max_in_flight = 3, .stop = stop.get_token()});
  });
  EXPECT_TRUE(heddle_test::eventually([&] { return loop.pending() == 3; }));
  EXPECT_EQ(input.steps, 29);  // and not one more: a generator may have to wait for the next item
  loop.run_until_ready(done);
  const auto summary = done.get();
  EXPECT_TRUE(summary.stopped);
  EXPECT_GE(seen.size(), 100U);
  EXPECT_EQ(seen, numbers(static_cast<int>(seen.size())));
  EXPECT_EQ(summary.done.items, seen.size());
}

TEST(for_each_batch, keeps_no_more_in_flight_than_told) {
  heddle::manual_executor loop;
  thread_pool caller(1U);
  const watchdog dog;
  std::size_t most = 0;
  auto done = caller.submit([&] {
    return for_each_batch(loop, numbers(50), [](std::span<int>) {},
                          {.size = 5, .max_in_flight = 2});
  });
  EXPECT_TRUE(heddle_test::eventually([&] { return loop.pending() == 2; }));
  while (!done.ready()) {
    most = std::max(most, loop.pending());
    loop.run_one();
  }
  EXPECT_EQ(most, 2U);
  EXPECT_EQ(done.get().done.batches, 10U);
}

TEST(for_each_batch, finds_a_size) {
  heddle::inline_executor here;
  collector seen;
  for_each_batch(here, numbers(20'000), std::ref(seen), {.size = 0});
  EXPECT_EQ(seen.sizes().front(), 1U);
  EXPECT_EQ(seen.sorted(), numbers(20'000));
}

TEST(for_each_batch, grows_by_steps_to_a_millisecond_of_items) {
  using namespace std::chrono_literals;
  heddle::detail::batch_sizer size(0);
  for (const std::size_t expected : {1U, 8U, 64U, 512U, 1000U, 1000U}) {
    const std::size_t items = size.next(std::nullopt, 4);
    EXPECT_EQ(items, expected);
    size.measured(items, items * 1us);
  }
  EXPECT_EQ(size.next(2000, 4), 500U) << "what is left is shared out";
  EXPECT_EQ(size.next(3, 4), 1U);

  for (int i = 0; i < 100; ++i) size.measured(1000, 1000 * 100us);
  EXPECT_EQ(size.next(std::nullopt, 4), 10U) << "items that became dear";
  for (int i = 0; i < 100; ++i) size.measured(10, 10 * 1h);
  EXPECT_EQ(size.next(std::nullopt, 4), 1U);
  for (int i = 0; i < 100; ++i) size.measured(size.next(std::nullopt, 4), 0ns);
  EXPECT_GT(size.next(std::nullopt, 4), 1U) << "a clock that stands still";
  EXPECT_LE(size.next(std::nullopt, 4), heddle::detail::batch_sizer::largest);
}

TEST(for_each_batch, throws_the_first_exception_in_the_order_of_the_input) {
  const watchdog dog;
  const heddle_test::unhandled_log log;
  thread_pool pool(4U);
  std::atomic<int> begun = 0;
  try {
    for_each_batch(pool, numbers(10'000),
                   [&](std::span<int> batch) {
                     ++begun;
                     if (batch.front() >= 30)
                       throw std::runtime_error(std::to_string(batch.front()));
                   },
                   {.size = 10, .max_in_flight = 8});
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "30");
  }
  EXPECT_LE(begun, 3 + 8);
}

TEST(for_each_batch, collects_exceptions_if_told_so) {
  const watchdog dog;
  thread_pool pool(2U);
  collector seen;
  const auto summary = for_each_batch(pool, numbers(95),
                                      [&](std::span<int> batch) {
                                        if (batch.front() % 20 == 10)
                                          throw std::out_of_range(std::to_string(batch.front()));
                                        seen(batch);
                                      },
                                      {.size = 10, .errors = batch_errors::collect});
  EXPECT_EQ(summary.done.batches, 10U);
  EXPECT_EQ(summary.done.items, 95U);
  EXPECT_EQ(summary.done.failed, 5U);
  ASSERT_EQ(summary.failures.size(), 5U);
  for (std::size_t i = 0; i != 5; ++i) {
    EXPECT_EQ(summary.failures[i].batch, 2 * i + 1);
    EXPECT_EQ(summary.failures[i].first, 20 * i + 10);
    EXPECT_EQ(summary.failures[i].items, i == 4 ? 5U : 10U);
    EXPECT_THROW(std::rethrow_exception(summary.failures[i].error), std::out_of_range);
  }
  EXPECT_EQ(seen.sorted().size(), 50U);
}

TEST(for_each_batch, throws_what_the_range_throws) {
  const watchdog dog;
  thread_pool pool(2U);
  std::atomic<int> items = 0;
  const auto broken = std::views::iota(0) | std::views::transform([](int i) {
                        if (i == 25) throw std::out_of_range("range");
                        return i;
                      });
  EXPECT_THROW(
      for_each_batch(pool, std::views::take_while(broken, [](int) { return true; }),
                     [&](auto batch) { items += static_cast<int>(std::ranges::distance(batch)); },
                     {.size = 10}),
      std::out_of_range);
  EXPECT_LE(items, 20);
}

TEST(for_each_batch, begins_nothing_after_a_stop) {
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  std::vector<int> first_items;
  const auto run = [&] {
    return for_each_batch(here, numbers(100),
                          [&](std::span<int> batch) {
                            first_items.push_back(batch.front());
                            if (batch.front() == 20) stop.request_stop();
                          },
                          {.size = 10, .stop = stop.get_token()});
  };
  const auto summary = run();
  EXPECT_TRUE(summary.stopped);
  EXPECT_EQ(summary.done.items, 30U);
  EXPECT_THAT(first_items, ElementsAre(0, 10, 20));
  const auto nothing = run();
  EXPECT_TRUE(nothing.stopped);
  EXPECT_EQ(nothing.done.batches, 0U);
  EXPECT_EQ(first_items.size(), 3U);
}

TEST(for_each_batch, is_not_stopped_when_it_is_done) {
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  const auto summary = for_each_batch(
      here, numbers(10), [](std::span<int>) {},
      {.stop = stop.get_token(), .progress = [&](const auto&) { stop.request_stop(); }});
  EXPECT_FALSE(summary.stopped);
  EXPECT_EQ(summary.done.items, 10U);
}

// Batches that have not begun are dropped; the one that runs is waited for.
TEST(for_each_batch, gives_up_what_waits_when_it_is_stopped) {
  thread_pool pool(1U);
  thread_pool caller(1U);
  const watchdog dog;
  heddle_test::gate gate;
  heddle::prim::stop_source stop;
  std::atomic<int> begun = 0;
  auto done = caller.submit([&] {
    return for_each_batch(pool, numbers(100),
                          [&](std::span<int>) {
                            ++begun;
                            gate.pass();
                          },
                          {.size = 10, .max_in_flight = 4, .stop = stop.get_token()});
  });
  gate.await_arrivals(1);
  stop.request_stop();
  EXPECT_FALSE(done.ready());
  gate.open();
  const auto summary = done.get();
  EXPECT_TRUE(summary.stopped);
  EXPECT_EQ(summary.done.batches, static_cast<std::size_t>(begun));
  EXPECT_LE(begun, 4);
}

TEST(for_each_batch, a_stop_ends_a_pause) {
  const watchdog dog;
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  heddle::thread_pool stopper(1U);
  int batches = 0;
  const auto summary = for_each_batch(here, numbers(100),
                                      [&](std::span<int>) {
                                        ++batches;
                                        stopper.post([&] { stop.request_stop(); });
                                      },
                                      {.size = 10, .pause = 1000h, .stop = stop.get_token()});
  EXPECT_EQ(batches, 1);
  EXPECT_TRUE(summary.stopped);
}

TEST(for_each_batch, a_stop_ends_the_wait_for_a_rate) {
  const watchdog dog;
  heddle::inline_executor here;
  heddle::prim::stop_source stop;
  heddle::thread_pool stopper(1U);
  const auto summary = for_each_batch(
      here, numbers(100), [&](std::span<int>) { stopper.post([&] { stop.request_stop(); }); },
      {.size = 10, .items_per_second = 1e-6, .stop = stop.get_token()});
  EXPECT_EQ(summary.done.batches, 1U);
  EXPECT_TRUE(summary.stopped);
}

TEST(for_each_batch, does_everything_also_with_pauses_and_a_rate) {
  heddle::inline_executor here;
  collector seen;
  const auto summary = for_each_batch(here, numbers(50), std::ref(seen),
                                      {.size = 10, .pause = 1us, .items_per_second = 1e6});
  EXPECT_EQ(summary.done.batches, 5U);
  EXPECT_EQ(seen.sorted(), numbers(50));
}

TEST(for_each_batch, tells_its_progress_in_the_order_of_the_input) {
  const watchdog dog;
  thread_pool pool(4U);
  const auto caller = std::this_thread::get_id();
  std::vector<std::size_t> items;
  std::size_t failed = 0;
  for_each_batch(pool, numbers(35),
                 [](std::span<int> batch) {
                   if (batch.front() == 10) throw std::runtime_error("batch");
                 },
                 {.size = 10,
                  .errors = batch_errors::collect,
                  .progress = [&](const heddle::batch_progress& p) {
                    EXPECT_EQ(std::this_thread::get_id(), caller);
                    items.push_back(p.items);
                    failed = p.failed;
                    EXPECT_EQ(p.batches, items.size());
                  }});
  EXPECT_THAT(items, ElementsAre(10, 20, 30, 35));
  EXPECT_EQ(failed, 1U);
}

TEST(for_each_batch, runs_on_any_executor_and_inside_tasks) {
  const watchdog dog;
  thread_pool pool(1U);
  heddle::strand one_by_one(pool);
  int unguarded = 0;
  for_each_batch(one_by_one, numbers(1000),
                 [&](std::span<int> b) { unguarded += static_cast<int>(b.size()); }, {.size = 10});
  EXPECT_EQ(unguarded, 1000);

  collector seen;
  pool.submit([&] { for_each_batch(pool, numbers(1000), std::ref(seen), {.size = 10}); }).get();
  EXPECT_EQ(seen.sorted(), numbers(1000));
}

TEST(for_each_batch, refuses_bad_options) {
  heddle::inline_executor here;
  const auto f = [](std::span<int>) {};
  EXPECT_THROW(for_each_batch(here, numbers(1), f, {.pause = -1ns}), std::invalid_argument);
  EXPECT_THROW(for_each_batch(here, numbers(1), f, {.items_per_second = -1}),
               std::invalid_argument);
  EXPECT_THROW(for_each_batch(heddle::executor_ref(), numbers(1), f), std::invalid_argument);
  EXPECT_THROW(for_each_batch(here, numbers(1), std::function<void(std::span<int>)>()),
               std::invalid_argument);
}

TEST(for_each_batch, is_refused_by_a_pool_that_ends) {
  thread_pool pool(1U);
  pool.shutdown();
  EXPECT_THROW(for_each_batch(pool, numbers(1), [](std::span<int>) {}), heddle::rejected);
}

TEST(map_batches, gives_results_in_the_order_of_the_input) {
  const watchdog dog;
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(workers);
    std::vector<std::unique_ptr<int>> sums;
    const auto summary = map_batches(
        pool, numbers(1000),
        [](std::span<int> b) {
          return std::make_unique<int>(std::accumulate(b.begin(), b.end(), 0));
        },
        [&](std::unique_ptr<int> sum) { sums.push_back(std::move(sum)); }, {.size = 10});
    ASSERT_EQ(sums.size(), 100U);
    for (int i = 0; i != 100; ++i) EXPECT_EQ(*sums[static_cast<std::size_t>(i)], 100 * i + 45);
    EXPECT_EQ(summary.done.batches, 100U);
  }
}

TEST(map_batches, skips_batches_that_failed) {
  heddle::inline_executor here;
  std::vector<int> firsts;
  map_batches(
      here, numbers(30),
      [](std::span<int> b) {
        if (b.front() == 10) throw std::runtime_error("batch");
        return b.front();
      },
      [&](int first) { firsts.push_back(first); }, {.size = 10, .errors = batch_errors::collect});
  EXPECT_THAT(firsts, ElementsAre(0, 20));
}

TEST(map_batches, throws_what_take_throws) {
  const watchdog dog;
  thread_pool pool(2U);
  int taken = 0;
  EXPECT_THROW(map_batches(
                   pool, numbers(1000), [](std::span<int> b) { return b.front(); },
                   [&](int) {
                     if (++taken == 3) throw std::out_of_range("take");
                   },
                   {.size = 10}),
               std::out_of_range);
  EXPECT_EQ(taken, 3);
}

}  // namespace
