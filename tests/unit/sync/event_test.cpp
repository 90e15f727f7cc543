#include <heddle/sync/event.hpp>

#include <atomic>
#include <chrono>
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
using heddle::auto_reset_event;
using heddle::manual_reset_event;
using testing::HasSubstr;

namespace prim = heddle::prim;

constinit manual_reset_event static_manual;
constinit auto_reset_event static_auto(true);

template <class E>
class event : public testing::Test {};
using events = testing::Types<manual_reset_event, auto_reset_event>;
TYPED_TEST_SUITE(event, events);

TYPED_TEST(event, that_is_set_before_the_wait_ends_it_at_once) {
  const heddle_test::watchdog dog;
  TypeParam e;
  e.set();
  e.wait();
  TypeParam from_the_start(true);
  EXPECT_TRUE(from_the_start.wait_for(-1h));
  TypeParam again(true);
  EXPECT_TRUE(again.wait_until(prim::time_point::min()));
}

TYPED_TEST(event, that_is_not_set_lets_waits_end_at_their_deadline_and_not_before) {
  TypeParam e;
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(e.wait_until(deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(e.wait_for(1ms));
  EXPECT_FALSE(e.wait_for(0s));
  EXPECT_FALSE(e.wait_for(-1s));
}

TYPED_TEST(event, wakes_whoever_waits) {
  const heddle_test::watchdog dog;
  TypeParam e;
  int data = 0;  // plain: the event hands it over
  std::thread waiting([&] {
    e.wait();
    EXPECT_EQ(data, 1);
  });
  std::this_thread::sleep_for(2ms);
  data = 1;
  e.set();
  waiting.join();
}

TYPED_TEST(event, gives_up_when_a_stop_is_requested) {
  const heddle_test::watchdog dog;
  TypeParam e;
  std::stop_source source;
  std::thread plain([&] { EXPECT_FALSE(e.wait(source.get_token())); });
  std::thread timed([&] { EXPECT_FALSE(e.wait_for(1h, source.get_token())); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  plain.join();
  timed.join();
  EXPECT_FALSE(e.wait(source.get_token()));
  e.set();
  EXPECT_TRUE(e.wait(source.get_token()));
}

TYPED_TEST(event, has_a_name_that_the_delegate_hears) {
  heddle_test::recording_delegate d;
  TypeParam e("doorbell");
  EXPECT_STREQ(e.name(), "doorbell");
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(e.wait_for(time)); },
                            [&] { return !d.log.empty(); });
  EXPECT_THAT(d.log, testing::ElementsAre(HasSubstr("event doorbell"), HasSubstr("doorbell")));
  EXPECT_EQ(TypeParam().name(), nullptr);
}

TYPED_TEST(event, is_as_it_was_when_the_delegate_throws) {
  heddle_test::recording_delegate d;
  d.refuse = true;
  TypeParam e;
  EXPECT_THROW(e.wait(), heddle::would_starve);
  EXPECT_THROW(static_cast<void>(e.wait_for(1h)), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  e.set();  // nobody may still be in the queue
  e.wait();
}

TYPED_TEST(event, records_its_waits) {
  TypeParam e("recorded event");
  e.record(heddle::lock_recording::all);
  e.set();
  e.wait();
  e.reset();
  heddle_test::recording_delegate d;
  d.inside_enter = [] { std::this_thread::sleep_for(1ms); };  // which is part of the wait
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(e.wait_for(time)); },
                            [&] { return !d.log.empty(); });
  const auto s = e.statistics();
  EXPECT_EQ(s.acquisitions, 1U);
  EXPECT_EQ(s.given_up, 1U);
  EXPECT_EQ(s.wait.count(), 1U);
  EXPECT_GE(s.wait.total(), 1ms);
}

TEST(manual_reset_event, stays_open_until_it_is_reset) {
  EXPECT_FALSE(static_manual.is_set());
  manual_reset_event e;
  e.set();
  e.set();
  e.wait();
  e.wait();
  EXPECT_TRUE(e.is_set());
  e.reset();
  e.reset();
  EXPECT_FALSE(e.is_set());
  EXPECT_FALSE(e.wait_for(1ms));
}

// It is never set for longer than a moment.
TEST(manual_reset_event, frees_those_who_wait_even_when_it_is_reset_at_once) {
  const heddle_test::watchdog dog;
  manual_reset_event e;
  std::atomic<int> through{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 6; ++i) {
    waiters.emplace_back([&] {
      e.wait();
      ++through;
    });
  }
  while (through != 6) {
    std::this_thread::sleep_for(1ms);
    e.set();
    e.reset();
  }
  for (std::thread& t : waiters) t.join();
  EXPECT_FALSE(e.is_set());
}

TEST(auto_reset_event, lets_one_through_and_is_reset) {
  EXPECT_TRUE(static_auto.reset());
  auto_reset_event e;
  e.set();
  e.set();
  e.set();
  e.wait();
  EXPECT_FALSE(e.wait_for(1ms));
  e.set();
  EXPECT_TRUE(e.reset());
  EXPECT_FALSE(e.reset());
  EXPECT_FALSE(e.wait_for(0s));
}

TEST(auto_reset_event, frees_one_waiter_for_each_set) {
  const heddle_test::watchdog dog;
  auto_reset_event e;
  std::atomic<int> through{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.emplace_back([&] {
      e.wait();
      ++through;
    });
  }
  for (int i = 1; i <= 5; ++i) {
    e.set();
    while (through != i) std::this_thread::yield();
    std::this_thread::sleep_for(1ms);
    EXPECT_EQ(through, i);
  }
  for (std::thread& t : waiters) t.join();
  EXPECT_FALSE(e.reset());
}

}  // namespace
