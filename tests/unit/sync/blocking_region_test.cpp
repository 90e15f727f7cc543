#include <heddle/sync/blocking_region.hpp>

#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using heddle::blocking_region;
using heddle::blocking_scope;
using heddle::completion;
using heddle::wait_for_completion;
using heddle::wait_kind;
using heddle::wait_record;
using heddle_test::recording_delegate;
using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::chrono_literals;

namespace prim = heddle::prim;

std::string external(const char* which) {
  return std::string(which) + " " + heddle::describe(wait_kind::external) + " ";
}

TEST(blocking_delegate, is_none_at_first_and_one_for_each_thread) {
  EXPECT_EQ(heddle::current_blocking_delegate(), nullptr);
  const recording_delegate mine;
  EXPECT_EQ(heddle::current_blocking_delegate(), &mine);
  heddle::blocking_delegate* other = heddle::current_blocking_delegate();
  std::thread([&] { other = heddle::current_blocking_delegate(); }).join();
  EXPECT_EQ(other, nullptr);
}

TEST(blocking_delegate, exchange_returns_the_one_before) {
  recording_delegate a;
  {
    recording_delegate b;
    EXPECT_EQ(heddle::current_blocking_delegate(), &b);
  }
  EXPECT_EQ(heddle::current_blocking_delegate(), &a);
  EXPECT_EQ(heddle::exchange_blocking_delegate(nullptr), &a);
  EXPECT_EQ(heddle::exchange_blocking_delegate(&a), nullptr);
}

TEST(blocking_region, tells_the_delegate_at_both_ends) {
  recording_delegate d;
  wait_record record{wait_kind::future, &d, "tea"};
  {
    const blocking_region region(record);
    EXPECT_THAT(d.log, ElementsAre("enter a future tea"));
    EXPECT_EQ(d.record, &record);
  }
  EXPECT_THAT(d.log, ElementsAre("enter a future tea", "leave a future tea"));
}

TEST(blocking_region, does_nothing_on_a_thread_without_a_delegate) {
  wait_record record{wait_kind::event, nullptr};
  const blocking_region region(record);
  const blocking_scope scope("query");
  EXPECT_EQ(heddle::current_blocking_delegate(), nullptr);
}

TEST(blocking_region, only_the_outermost_tells_the_delegate) {
  recording_delegate d;
  {
    const blocking_scope outer("outer");
    {
      const blocking_scope middle("middle");
      const blocking_scope inner("inner");
    }
    const blocking_scope second("second");
    EXPECT_THAT(d.log, ElementsAre(external("enter") + "outer"));
  }
  EXPECT_EQ(d.log.size(), 2U);
  const blocking_scope again("again");
  EXPECT_EQ(d.log.size(), 3U);
}

TEST(blocking_region, throws_what_enter_throws_and_is_then_not_entered) {
  recording_delegate d;
  d.refuse = true;
  EXPECT_THROW(blocking_scope("first"), heddle::would_starve);
  EXPECT_THROW(blocking_scope("second"), heddle::would_starve);
  EXPECT_THAT(d.log, IsEmpty());
  d.refuse = false;
  {
    const blocking_scope third("third");
  }
  EXPECT_THAT(d.log, ElementsAre(external("enter") + "third", external("leave") + "third"));
}

// A delegate that takes a lock, or starts a thread, may come to wait itself.
TEST(blocking_region, a_delegate_that_waits_is_not_told_of_its_own_wait) {
  recording_delegate d;
  d.inside_enter = [] { const blocking_scope scope("inside enter"); };
  d.inside_leave = [] { const blocking_scope scope("inside leave"); };
  {
    const blocking_scope scope("outer");
  }
  EXPECT_THAT(d.log, ElementsAre(external("enter") + "outer", external("leave") + "outer"));
}

TEST(blocking_scope, names_the_call_and_no_object) {
  recording_delegate d;
  d.inside_enter = [&d] {
    EXPECT_EQ(d.record->kind, wait_kind::external);
    EXPECT_EQ(d.record->object, nullptr);
    EXPECT_EQ(d.record->name, nullptr);
  };
  const blocking_scope scope;
  EXPECT_EQ(d.log.size(), 1U);
}

TEST(wait_for_completion, returns_at_once_when_it_is_done) {
  completion c;
  c.complete();
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future));
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future, prim::clock::now() - 1s));
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future, prim::time_point::min()));
  std::stop_source source;
  source.request_stop();
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future, source.get_token()));
}

TEST(wait_for_completion, sleeps_until_it_is_done) {
  const heddle_test::watchdog dog;
  for (int form = 0; form < 4; ++form) {
    completion c;
    int written = 0;
    std::thread other([&] {
      std::this_thread::sleep_for(5ms);
      written = 1;
      c.complete();
    });
    std::stop_source source;
    bool done = false;
    switch (form) {
      case 0:
        done = wait_for_completion(c, wait_kind::future);
        break;
      case 1:
        done = wait_for_completion(c, wait_kind::future, prim::clock::now() + 1h);
        break;
      case 2:
        done = wait_for_completion(c, wait_kind::future, source.get_token());
        break;
      default:
        done = wait_for_completion(c, wait_kind::future, std::stop_token());
    }
    EXPECT_TRUE(done);
    EXPECT_EQ(written, 1);
    other.join();
  }
}

TEST(wait_for_completion, gives_up_at_the_deadline_and_leaves_no_trace) {
  completion c;
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(wait_for_completion(c, wait_kind::future, deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(wait_for_completion(c, wait_kind::future, prim::time_point::min()));
  heddle_test::overwrite_dead_stack();
  c.complete();
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future));
}

TEST(wait_for_completion, gives_up_when_a_stop_is_requested) {
  const heddle_test::watchdog dog;
  completion c;
  std::stop_source before;
  before.request_stop();
  EXPECT_FALSE(wait_for_completion(c, wait_kind::future, before.get_token()));
  std::stop_source during;
  std::thread other([&] {
    std::this_thread::sleep_for(5ms);
    during.request_stop();
  });
  EXPECT_FALSE(wait_for_completion(c, wait_kind::future, during.get_token()));
  other.join();
  heddle_test::overwrite_dead_stack();
  c.complete();
}

TEST(wait_for_completion, tells_the_delegate_what_is_waited_for) {
  const heddle_test::watchdog dog;
  recording_delegate d;
  completion c;
  const void* object = nullptr;
  d.inside_enter = [&] {
    object = d.record->object;
    c.complete();
  };
  EXPECT_TRUE(wait_for_completion(c, wait_kind::future));
  EXPECT_EQ(object, &c);
  EXPECT_THAT(d.log, ElementsAre("enter a future", "leave a future"));
}

TEST(wait_for_completion, leaves_when_it_gives_up) {
  recording_delegate d;
  completion c;
  heddle_test::wait_in_vain(
      [&](auto time) {
        EXPECT_FALSE(wait_for_completion(c, wait_kind::several, prim::clock::now() + time));
      },
      [&] { return !d.log.empty(); });
  EXPECT_EQ(d.log.size(), 2U);
  std::stop_source source;
  d.inside_enter = [&source] { source.request_stop(); };
  EXPECT_FALSE(wait_for_completion(c, wait_kind::several, source.get_token()));
  EXPECT_EQ(d.log.size() % 2, 0U);
}

TEST(wait_for_completion, does_not_wait_when_enter_throws) {
  recording_delegate d;
  d.refuse = true;
  auto c = std::make_unique<completion>();
  std::stop_source source;
  EXPECT_THROW(wait_for_completion(*c, wait_kind::future), heddle::would_starve);
  EXPECT_THROW(wait_for_completion(*c, wait_kind::future, prim::clock::now() + 1h),
               heddle::would_starve);
  EXPECT_THROW(wait_for_completion(*c, wait_kind::future, source.get_token()),
               heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  c->complete();  // nobody may still be attached
  source.request_stop();
  EXPECT_THAT(d.log, IsEmpty());
}

TEST(wait_regardless, is_announced_where_that_is_allowed) {
  const heddle_test::watchdog dog;
  recording_delegate d;
  completion c;
  d.inside_enter = [&] { c.complete(); };
  EXPECT_TRUE(heddle::wait_regardless(c, wait_kind::future));
  EXPECT_THAT(d.log, ElementsAre("enter a future", "leave a future"));
}

TEST(wait_regardless, waits_unannounced_where_enter_throws) {
  const heddle_test::watchdog dog;
  recording_delegate d;
  d.refuse = true;
  completion c;
  EXPECT_FALSE(heddle::wait_regardless(c, wait_kind::future, prim::clock::now() + 1ms));
  std::thread completing;
  d.inside_enter = [&] { completing = std::thread([&c] { c.complete(); }); };
  EXPECT_TRUE(heddle::wait_regardless(c, wait_kind::future));
  if (completing.joinable()) completing.join();
  EXPECT_TRUE(c.done());
  EXPECT_THAT(d.log, IsEmpty());
  EXPECT_EQ(heddle::current_blocking_delegate(), &d) << "it is in place again";
  // Whatever it is that waits: called anew, and its result returned.
  int calls = 0;
  const auto second_time = [&] {
    if (++calls == 1) throw heddle::would_starve("no spare worker");
    EXPECT_EQ(heddle::current_blocking_delegate(), nullptr);
    return calls;
  };
  EXPECT_EQ(heddle::wait_regardless(second_time), 2);
}

// The event happens while enter() throws: the wake-up is received before the node dies.
TEST(wait_for_completion, survives_a_completion_while_enter_throws) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 200; ++round) {
    completion c;
    std::thread completing;
    {
      recording_delegate d;
      d.refuse = true;
      d.inside_enter = [&] { completing = std::thread([&c] { c.complete(); }); };
      // Either it was done before anybody had to sleep, or the refusal comes out.
      try {
        EXPECT_TRUE(wait_for_completion(c, wait_kind::future));
      } catch (const heddle::would_starve&) {
      }
    }
    ASSERT_TRUE(completing.joinable());
    completing.join();
  }
}

}  // namespace
