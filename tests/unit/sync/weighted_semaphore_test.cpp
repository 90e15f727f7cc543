#include <heddle/sync/weighted_semaphore.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::weighted_semaphore;
using testing::ElementsAre;
using testing::HasSubstr;

namespace prim = heddle::prim;

// A thread that asks for more than there is. There must be a unit left: when nobody can have it any
// more, the thread is in the queue.
class asker {
 public:
  template <class F>
  asker(weighted_semaphore& s, F f)
      : thread_([this, ask = std::move(f)] {
          ask();
          has_ended_ = true;
        }) {
    while (!has_ended_ && s.try_acquire(1)) {
      s.release(1);
      std::this_thread::yield();
    }
  }
  void join() { thread_.join(); }

 private:
  std::atomic<bool> has_ended_{false};
  std::thread thread_;
};

TEST(weighted_semaphore, gives_what_it_has) {
  weighted_semaphore s(5);
  s.acquire(2);
  EXPECT_TRUE(s.try_acquire(3));
  EXPECT_EQ(s.held(), 5U);
  EXPECT_EQ(s.available(), 0U);
  EXPECT_FALSE(s.try_acquire(1));
  EXPECT_FALSE(s.try_acquire_for(1, 1ms));
  EXPECT_FALSE(s.try_acquire_for(1, -1s));
  EXPECT_TRUE(s.try_acquire(0));
  s.acquire(0);
  s.release(4);
  EXPECT_EQ(s.available(), 4U);
  EXPECT_TRUE(s.try_acquire_for(4, -1h));
  s.release(4);
  EXPECT_TRUE(s.try_acquire_until(4, prim::time_point::min()));
  s.release(5);
  s.release(0);
  EXPECT_EQ(s.held(), 0U);
}

TEST(weighted_semaphore, waits_until_the_deadline) {
  weighted_semaphore s(1);
  s.acquire(1);
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(s.try_acquire_until(1, deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  s.release(1);
  EXPECT_TRUE(s.try_acquire(1));
}

TEST(weighted_semaphore, more_than_the_capacity_is_refused_at_once) {
  weighted_semaphore s(3);
  try {
    s.acquire(4);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("4 units asked of a capacity of 3"));
  }
  EXPECT_THROW(static_cast<void>(s.try_acquire(4)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(s.try_acquire_for(4, 1h)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(s.acquire(4, std::stop_token())), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(s.hold(4)), std::invalid_argument);
  EXPECT_EQ(s.held(), 0U);
  weighted_semaphore none(0);
  EXPECT_THROW(none.acquire(1), std::invalid_argument);
  EXPECT_TRUE(none.try_acquire(0));
  weighted_semaphore all(std::numeric_limits<std::uint64_t>::max());
  EXPECT_TRUE(all.try_acquire(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_FALSE(all.try_acquire(1));
}

TEST(weighted_semaphore, more_than_is_held_cannot_be_released) {
  weighted_semaphore s(3);
  s.acquire(2);
  try {
    s.release(3);
    FAIL();
  } catch (const std::overflow_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("release of 3 units, with 2 held"));
  }
  EXPECT_EQ(s.held(), 2U);
}

// Small requests would fit all the time; the large one in front of them keeps its turn.
TEST(weighted_semaphore, small_requests_do_not_overtake_a_large_one) {
  const heddle_test::watchdog dog;
  weighted_semaphore s(4);
  s.acquire(1);
  std::atomic<bool> large_had{false};
  asker large(s, [&] {
    s.acquire(4);
    large_had = true;
    s.release(4);
  });
  EXPECT_FALSE(s.try_acquire(1));
  EXPECT_FALSE(s.try_acquire_for(1, 2ms));
  std::thread small([&] {
    s.acquire(1);
    EXPECT_TRUE(large_had);
    s.release(1);
  });
  std::this_thread::sleep_for(2ms);
  s.release(1);
  large.join();
  small.join();
  EXPECT_EQ(s.available(), 4U);
}

// Two streams of small requests, so that there is always one held, and a large one among them.
TEST(weighted_semaphore, a_large_request_is_not_starved) {
  const heddle_test::watchdog dog;
  weighted_semaphore s(3);
  std::atomic<bool> done{false};
  std::vector<std::thread> small;
  for (int i = 0; i < 3; ++i) {
    small.emplace_back([&] {
      while (!done) {
        s.acquire(1);
        std::this_thread::yield();
        s.release(1);
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    s.acquire(3);
    EXPECT_EQ(s.held(), 3U);
    s.release(3);
  }
  done = true;
  for (std::thread& t : small) t.join();
}

TEST(weighted_semaphore, when_the_first_gives_up_those_behind_it_are_served) {
  const heddle_test::watchdog dog;
  weighted_semaphore s(4);
  s.acquire(2);
  std::stop_source source;
  asker large(s, [&] { EXPECT_FALSE(s.acquire(4, source.get_token())); });
  std::thread small([&] { s.acquire(2); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  large.join();
  small.join();
  EXPECT_EQ(s.held(), 4U);
  s.release(2);
  asker timed(s, [&] { EXPECT_FALSE(s.try_acquire_for(4, 20ms)); });
  std::thread behind([&] { s.acquire(2); });
  timed.join();
  behind.join();
  EXPECT_EQ(s.held(), 4U);
}

TEST(weighted_semaphore, a_larger_capacity_serves_those_who_wait) {
  const heddle_test::watchdog dog;
  weighted_semaphore s(1);
  s.acquire(1);
  std::thread waiting([&] { s.acquire(1); });
  std::this_thread::sleep_for(2ms);
  s.resize(2);
  waiting.join();
  EXPECT_EQ(s.capacity(), 2U);
  EXPECT_EQ(s.held(), 2U);
}

TEST(weighted_semaphore, may_shrink_below_what_is_held) {
  weighted_semaphore s(5);
  s.acquire(4);
  s.resize(2);
  EXPECT_EQ(s.held(), 4U);
  EXPECT_EQ(s.available(), 0U);
  EXPECT_FALSE(s.try_acquire(1));
  s.release(2);
  EXPECT_FALSE(s.try_acquire(1));
  s.release(1);
  EXPECT_TRUE(s.try_acquire(1));
  EXPECT_FALSE(s.try_acquire(1));
  EXPECT_THROW(static_cast<void>(s.try_acquire(3)), std::invalid_argument);
}

TEST(weighted_semaphore, a_smaller_capacity_refuses_those_who_wait_for_more) {
  const heddle_test::watchdog dog;
  weighted_semaphore s(4);
  s.acquire(3);
  asker large(s, [&] { EXPECT_THROW(s.acquire(4), std::invalid_argument); });
  std::thread small([&] { s.acquire(2); });
  std::this_thread::sleep_for(2ms);
  s.resize(3);
  large.join();  // at once: nothing has been released
  s.release(3);
  small.join();
  EXPECT_EQ(s.held(), 2U);
}

TEST(weighted_semaphore, holders_give_back_what_they_have) {
  weighted_semaphore s(4);
  {
    auto a = s.hold(3);
    EXPECT_TRUE(a);
    EXPECT_EQ(a.count(), 3U);
    EXPECT_FALSE(s.try_hold(2));
    EXPECT_FALSE(s.try_hold_for(2, 1ms));
    std::stop_source source;
    source.request_stop();
    EXPECT_FALSE(s.hold(2, source.get_token()));
    auto b = std::move(a);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): it is empty
    EXPECT_EQ(s.held(), 3U);
    b = s.hold(1);
    EXPECT_EQ(s.held(), 1U);
    auto c = s.try_hold_for(3, 1h);
    EXPECT_TRUE(c);
    c.release();
    c.release();
    EXPECT_FALSE(c);
    s.acquire(2);
    const weighted_semaphore::holder taken_over(s, 2);
    EXPECT_EQ(s.held(), 3U);
  }
  EXPECT_EQ(s.held(), 0U);
}

TEST(weighted_semaphore, tells_the_delegate_and_takes_nothing_when_it_throws) {
  heddle_test::recording_delegate d;
  weighted_semaphore s(1, "memory");
  EXPECT_STREQ(s.name(), "memory");
  s.acquire(1);
  EXPECT_TRUE(d.log.empty());
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(s.try_acquire_for(1, time)); },
                            [&] { return !d.log.empty(); });
  EXPECT_THAT(d.log, ElementsAre(HasSubstr("memory"), HasSubstr("memory")));
  d.refuse = true;
  EXPECT_THROW(s.acquire(1), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  s.release(1);  // nobody may still be in the queue
  EXPECT_EQ(s.held(), 0U);
}

TEST(weighted_semaphore, records_its_waits) {
  weighted_semaphore s(1, "recorded units");
  s.record(heddle::lock_recording::all);
  s.acquire(1);
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(s.try_acquire_for(1, time)); },
                            [&] { return s.statistics().given_up != 0; });
  const auto figures = s.statistics();
  EXPECT_EQ(figures.acquisitions, 1U);
  EXPECT_EQ(figures.given_up, 1U);
}

}  // namespace
