#include <heddle/sync/latch.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::latch;
using testing::HasSubstr;

namespace prim = heddle::prim;

// What the standard asks of a latch.
template <class L>
class standard_latch : public testing::Test {};
using latches = testing::Types<std::latch, latch>;
TYPED_TEST_SUITE(standard_latch, latches);

TYPED_TEST(standard_latch, has_the_standard_s_interface) {
  static_assert(TypeParam::max() > 1000);
  static_assert(!std::is_copy_constructible_v<TypeParam> && !std::is_copy_assignable_v<TypeParam>);
  static_assert(!std::is_convertible_v<std::ptrdiff_t, TypeParam>);
  static_assert(noexcept(std::declval<const TypeParam&>().try_wait()));
  static constinit TypeParam at_compile_time(1);
  EXPECT_FALSE(at_compile_time.try_wait());
}

TYPED_TEST(standard_latch, opens_when_it_has_been_counted_down) {
  TypeParam l(4);
  l.count_down();
  l.count_down(2);
  l.count_down(0);
  EXPECT_FALSE(l.try_wait());
  l.arrive_and_wait();
  EXPECT_TRUE(l.try_wait());
  l.wait();
  l.wait();
}

TYPED_TEST(standard_latch, of_zero_is_open) {
  TypeParam l(0);
  EXPECT_TRUE(l.try_wait());
  l.wait();
}

TYPED_TEST(standard_latch, hands_over_what_everybody_did_before) {
  const heddle_test::watchdog dog;
  constexpr int threads = 6;
  TypeParam l(threads);
  int parts[threads] = {};  // plain: the latch hands them over
  std::atomic<int> sums{0};
  heddle_test::run_together(threads + 2, [&](unsigned i) {
    if (i < threads) {
      parts[i] = 1;
      if (i % 2 == 0) {
        l.count_down();
        return;
      }
      l.arrive_and_wait();
    } else {
      l.wait();
    }
    int sum = 0;
    for (const int p : parts) sum += p;
    EXPECT_EQ(sum, threads);
    ++sums;
  });
  EXPECT_EQ(sums, threads / 2 + 2);
}

TEST(latch, refuses_numbers_that_make_no_sense) {
  EXPECT_THROW(latch l(-1), std::invalid_argument);
  latch l(2);
  EXPECT_THROW(l.count_down(-1), std::invalid_argument);
  try {
    l.count_down(3);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("count_down of 3, with 2 left"));
  }
  EXPECT_THROW(l.arrive_and_wait(3), std::invalid_argument);
  l.count_down(2);
  EXPECT_TRUE(l.try_wait());
  EXPECT_THROW(l.count_down(), std::invalid_argument);
}

TEST(latch, waits_end_at_their_deadline_and_not_before) {
  latch l(1);
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(l.wait_until(deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(l.wait_for(0s));
  EXPECT_FALSE(l.wait_for(-1s));
  l.count_down();
  EXPECT_TRUE(l.wait_for(-1s));
  EXPECT_TRUE(l.wait_until(prim::time_point::min()));
}

TEST(latch, gives_up_when_a_stop_is_requested) {
  const heddle_test::watchdog dog;
  latch l(1);
  std::stop_source source;
  std::thread plain([&] { EXPECT_FALSE(l.wait(source.get_token())); });
  std::thread timed([&] { EXPECT_FALSE(l.wait_for(1h, source.get_token())); });
  std::thread patient([&] { l.wait(); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  plain.join();
  timed.join();
  l.count_down();
  patient.join();
  EXPECT_TRUE(l.wait(source.get_token()));
}

TEST(latch, tells_the_delegate_and_a_count_stands_when_it_throws) {
  heddle_test::recording_delegate d;
  latch l(2, "all loaded");
  EXPECT_STREQ(l.name(), "all loaded");
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(l.wait_for(time)); },
                            [&] { return !d.log.empty(); });
  EXPECT_THAT(d.log, testing::ElementsAre(HasSubstr("all loaded"), HasSubstr("all loaded")));
  d.refuse = true;
  EXPECT_THROW(l.arrive_and_wait(), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  l.count_down();
  EXPECT_TRUE(l.try_wait());
  l.wait();
}

TEST(latch, records_its_waits) {
  latch l(1, "recorded latch");
  l.record(heddle::lock_recording::all);
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(l.wait_for(time)); },
                            [&] { return l.statistics().given_up != 0; });
  l.count_down();
  l.wait();
  const auto s = l.statistics();
  EXPECT_EQ(s.acquisitions, 1U);
  EXPECT_EQ(s.given_up, 1U);
}

}  // namespace
