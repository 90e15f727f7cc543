#include <heddle/sync/semaphore.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <semaphore>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::binary_semaphore;
using heddle::counting_semaphore;
using testing::HasSubstr;

namespace prim = heddle::prim;

// What the standard asks of a semaphore.
template <class S>
class standard_semaphore : public testing::Test {};
using semaphores = testing::Types<std::counting_semaphore<8>, counting_semaphore<8>,
                                  std::counting_semaphore<>, counting_semaphore<>>;
TYPED_TEST_SUITE(standard_semaphore, semaphores);

TYPED_TEST(standard_semaphore, has_the_standard_s_interface) {
  static_assert(TypeParam::max() >= 8);
  static_assert(!std::is_copy_constructible_v<TypeParam> && !std::is_copy_assignable_v<TypeParam>);
  static_assert(!std::is_convertible_v<std::ptrdiff_t, TypeParam>);
  static_assert(noexcept(std::declval<TypeParam&>().try_acquire()));
  TypeParam s(0);
  EXPECT_FALSE(s.try_acquire());
}

TYPED_TEST(standard_semaphore, gives_what_it_has) {
  TypeParam s(3);
  s.acquire();
  EXPECT_TRUE(s.try_acquire());
  EXPECT_TRUE(s.try_acquire_for(1h));
  EXPECT_FALSE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire_for(0s));
  s.release();
  s.release(2);
  s.release(0);
  EXPECT_TRUE(s.try_acquire_until(prim::clock::now() + 1h));
  s.acquire();
  s.acquire();
  EXPECT_FALSE(s.try_acquire());
}

TYPED_TEST(standard_semaphore, waits_until_the_deadline) {
  TypeParam s(0);
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(s.try_acquire_until(deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(s.try_acquire_for(1ms));
}

TYPED_TEST(standard_semaphore, lets_through_as_many_as_it_is_given) {
  const heddle_test::watchdog dog;
  TypeParam s(0);
  std::atomic<int> through{0};
  std::vector<std::thread> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.emplace_back([&] {
      s.acquire();
      ++through;
    });
  }
  s.release(2);
  while (through != 2) std::this_thread::yield();
  std::this_thread::sleep_for(2ms);
  EXPECT_EQ(through, 2);
  s.release(3);
  for (std::thread& t : waiting) t.join();
  EXPECT_FALSE(s.try_acquire());
}

TYPED_TEST(standard_semaphore, hands_over_what_was_written) {
  const heddle_test::watchdog dog;
  TypeParam full(0);
  TypeParam empty(1);
  int slot = 0;  // plain: the semaphores guard it
  long sum = 0;
  std::thread consumer([&] {
    for (int i = 0; i < 1000; ++i) {
      full.acquire();
      sum += slot;
      empty.release();
    }
  });
  for (int i = 1; i <= 1000; ++i) {
    empty.acquire();
    slot = i;
    full.release();
  }
  consumer.join();
  EXPECT_EQ(sum, 500'500);
}

TEST(semaphore, may_be_static) {
  static constinit counting_semaphore<> s(1);
  EXPECT_TRUE(s.try_acquire());
}

TEST(semaphore, refuses_numbers_that_make_no_sense) {
  EXPECT_THROW(counting_semaphore<3> s(-1), std::invalid_argument);
  EXPECT_THROW(counting_semaphore<3> s(4), std::invalid_argument);
  EXPECT_NO_THROW(counting_semaphore<3> s(3));
  counting_semaphore<3> s(1);
  EXPECT_THROW(s.release(-1), std::invalid_argument);
  EXPECT_EQ(s.available(), 1);
}

TEST(semaphore, release_over_the_maximum_throws_and_gives_nothing) {
  counting_semaphore<3> s(2);
  EXPECT_THROW(s.release(2), std::overflow_error);
  EXPECT_EQ(s.available(), 2);
  s.release();
  try {
    s.release();
    FAIL();
  } catch (const std::overflow_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("1 permits, with 3 of at most 3"));
  }
  counting_semaphore<> unlimited(1);
  EXPECT_THROW(unlimited.release(unlimited.max()), std::overflow_error);
  unlimited.release(unlimited.max() - 1);
  EXPECT_EQ(unlimited.available(), unlimited.max());
  counting_semaphore<0> never(0);
  EXPECT_THROW(never.release(), std::overflow_error);
}

// Also while others sleep, and the word has its bit.
TEST(semaphore, release_over_the_maximum_throws_beside_sleepers) {
  const heddle_test::watchdog dog;
  binary_semaphore s(0);
  std::thread sleeper([&] { s.acquire(); });
  std::this_thread::sleep_for(2ms);
  EXPECT_THROW(s.release(2), std::overflow_error);
  s.release();
  sleeper.join();
  EXPECT_EQ(s.available(), 0);
}

TEST(semaphore, a_timeout_that_has_passed_still_takes_a_permit) {
  binary_semaphore s(1);
  EXPECT_TRUE(s.try_acquire_for(-1h));
  EXPECT_FALSE(s.try_acquire_for(-1h));
  s.release();
  EXPECT_TRUE(s.try_acquire_until(prim::time_point::min()));
  EXPECT_FALSE(s.try_acquire_until(prim::time_point::min()));
}

TEST(semaphore, a_stop_ends_the_wait) {
  const heddle_test::watchdog dog;
  binary_semaphore s(0);
  std::stop_source source;
  std::thread plain([&] { EXPECT_FALSE(s.acquire(source.get_token())); });
  std::thread timed([&] { EXPECT_FALSE(s.try_acquire_for(1h, source.get_token())); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  plain.join();
  timed.join();
  EXPECT_FALSE(s.acquire(source.get_token()));
  s.release();
  EXPECT_TRUE(s.acquire(source.get_token()));  // a permit that is there is taken
  s.release();
  EXPECT_TRUE(s.acquire(std::stop_token()));
  EXPECT_FALSE(s.try_acquire_for(1ms, std::stop_token()));
}

TEST(semaphore, serves_the_rest_when_some_of_the_queue_give_up) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 10; ++round) {
    counting_semaphore<> s(0);
    std::stop_source source;
    std::atomic<int> served{0};
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 9; ++i) {
      sleepers.emplace_back([&, i] {
        const bool got = i % 3 == 0   ? s.acquire(source.get_token())
                         : i % 3 == 1 ? s.try_acquire_for(std::chrono::microseconds(300 * i))
                                      : (s.acquire(), true);
        if (got) ++served;
      });
    }
    std::this_thread::sleep_for(1ms);
    source.request_stop();
    s.release(9);
    for (std::thread& t : sleepers) t.join();
    EXPECT_GE(served, 3);
    EXPECT_EQ(s.available(), 9 - served);
  }
}

TEST(semaphore, tells_the_delegate_when_it_sleeps) {
  heddle_test::recording_delegate d;
  binary_semaphore s(1, "printer");
  EXPECT_STREQ(s.name(), "printer");
  s.acquire();
  EXPECT_TRUE(d.log.empty());
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(s.try_acquire_for(time)); },
                            [&] { return !d.log.empty(); });
  ASSERT_EQ(d.log.size(), 2U);
  EXPECT_THAT(d.log[0], testing::AllOf(HasSubstr("enter"), HasSubstr("printer")));
  EXPECT_THAT(d.log[1], HasSubstr("leave"));
}

TEST(semaphore, takes_nothing_when_the_delegate_throws) {
  heddle_test::recording_delegate d;
  d.refuse = true;
  binary_semaphore s(0);
  EXPECT_THROW(s.acquire(), heddle::would_starve);
  EXPECT_THROW(static_cast<void>(s.try_acquire_for(1h)), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  s.release();  // nobody may still be in the queue
  EXPECT_EQ(s.available(), 1);
}

}  // namespace
