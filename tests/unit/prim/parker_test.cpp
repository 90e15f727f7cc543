#include <heddle/prim/parker.hpp>

#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/clock.hpp>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;
using namespace std::chrono_literals;

TEST(parker, takes_a_token_that_is_there) {
  const heddle_test::watchdog dog;
  prim::parker p;
  p.unpark();
  p.park();
  EXPECT_FALSE(p.park_until(prim::clock::now()));
}

TEST(parker, tokens_do_not_add_up) {
  prim::parker p;
  p.unpark();
  p.unpark();
  EXPECT_TRUE(p.park_until(prim::clock::now() + 10s));
  EXPECT_FALSE(p.park_until(prim::clock::now()));
}

TEST(parker, takes_a_token_that_is_there_even_when_the_deadline_has_passed) {
  prim::parker p;
  p.unpark();
  EXPECT_TRUE(p.park_until(prim::clock::now() - 1s));
  p.unpark();
  EXPECT_TRUE(p.park_until(prim::time_point::min()));
}

TEST(parker, gives_up_at_the_deadline_and_not_before) {
  prim::parker p;
  const auto deadline = prim::clock::now() + 20ms;
  EXPECT_FALSE(p.park_until(deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(p.park_until(prim::time_point::min()));
}

TEST(parker, works_after_a_wait_that_gave_up) {
  const heddle_test::watchdog dog;
  prim::parker p;
  ASSERT_FALSE(p.park_until(prim::clock::now() + 1ms));
  p.unpark();
  p.park();
  ASSERT_FALSE(p.park_until(prim::clock::now() + 1ms));
  std::thread other([&p] { p.unpark(); });
  p.park();
  other.join();
}

TEST(parker, waits_for_ever_when_the_deadline_is_never) {
  const heddle_test::watchdog dog;
  prim::parker p;
  std::thread other([&p] {
    std::this_thread::sleep_for(20ms);
    p.unpark();
  });
  EXPECT_TRUE(p.park_until(prim::never));
  other.join();
}

TEST(parker, shows_what_came_before_unpark) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 200; ++round) {
    prim::parker p;
    int written = 0;  // plain, so that a sanitizer sees a missing synchronization
    std::thread other([&] {
      written = round + 1;
      p.unpark();
    });
    if (round % 2 == 0) {
      p.park();
    } else {
      while (!p.park_until(prim::clock::now() + 10us)) {
      }
    }
    EXPECT_EQ(written, round + 1);
    other.join();
  }
}

// Both store a token; the one that finds it there publishes all the same.
TEST(parker, shows_what_came_before_each_of_several_unparks_that_made_one_token) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    prim::parker p;
    int first = 0;
    int second = 0;
    std::thread a([&] {
      first = 1;
      p.unpark();
    });
    a.join();
    std::thread b([&] {
      second = 1;
      p.unpark();
    });
    b.join();
    p.park();
    EXPECT_EQ(first + second, 2);
  }
}

TEST(parker, may_be_destroyed_as_soon_as_park_has_returned) {
  const heddle_test::watchdog dog;
  std::vector<std::thread> wakers;
  for (int round = 0; round < 100; ++round) {
    auto p = std::make_unique<prim::parker>();
    wakers.emplace_back([raw = p.get()] { raw->unpark(); });
    p->park();
    p.reset();
  }
  for (std::thread& t : wakers) t.join();
}

}  // namespace
