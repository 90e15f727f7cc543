#include <heddle/sync/completion.hpp>

#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using heddle::completion;
using testing::ElementsAre;

struct logging final : heddle::waiter {
  logging(std::vector<int>& log, int id) noexcept
      : waiter([](heddle::waiter* w) noexcept {
          auto* const self = static_cast<logging*>(w);
          self->log_->push_back(self->id_);
        }),
        log_(&log),
        id_(id) {}

 private:
  std::vector<int>* log_;
  int id_;
};

TEST(completion, has_not_happened_at_first) {
  const completion c;
  EXPECT_FALSE(c.done());
}

TEST(completion, happens) {
  completion c;
  c.complete();
  EXPECT_TRUE(c.done());
}

TEST(completion, wakes_each_waiter_once_in_the_order_in_which_they_came) {
  completion c;
  std::vector<int> log;
  logging one(log, 1);
  logging two(log, 2);
  logging three(log, 3);
  ASSERT_TRUE(c.attach(one));
  ASSERT_TRUE(c.attach(two));
  ASSERT_TRUE(c.attach(three));
  EXPECT_TRUE(log.empty());
  c.complete();
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
}

TEST(completion, takes_no_waiter_once_it_has_happened) {
  completion c;
  c.complete();
  std::vector<int> log;
  logging late(log, 1);
  EXPECT_FALSE(c.attach(late));
  EXPECT_TRUE(log.empty());
}

TEST(completion, does_not_wake_who_was_detached) {
  for (int gone = 1; gone <= 3; ++gone) {
    completion c;
    std::vector<int> log;
    logging one(log, 1);
    logging two(log, 2);
    logging three(log, 3);
    logging* const all[] = {&one, &two, &three};
    for (logging* w : all) ASSERT_TRUE(c.attach(*w));
    EXPECT_TRUE(c.detach(*all[gone - 1]));
    c.complete();
    std::vector<int> expected{1, 2, 3};
    expected.erase(expected.begin() + gone - 1);
    EXPECT_EQ(log, expected);
  }
}

TEST(completion, detaching_fails_after_it_has_happened) {
  completion c;
  std::vector<int> log;
  logging one(log, 1);
  ASSERT_TRUE(c.attach(one));
  c.complete();
  EXPECT_FALSE(c.detach(one));
  EXPECT_THAT(log, ElementsAre(1));
}

TEST(completion, can_be_attached_to_again_after_detaching) {
  completion c;
  std::vector<int> log;
  logging one(log, 1);
  logging two(log, 2);
  ASSERT_TRUE(c.attach(one));
  ASSERT_TRUE(c.attach(two));
  EXPECT_TRUE(c.detach(one));
  EXPECT_TRUE(c.detach(two));
  EXPECT_FALSE(c.done());
  EXPECT_TRUE(c.attach(one));
  c.complete();
  EXPECT_THAT(log, ElementsAre(1));
}

// wake() may end the node's life, and a sanitizer sees whether complete() looks at it afterwards.
TEST(completion, does_not_touch_a_waiter_it_has_woken) {
  struct self_destroying final : heddle::waiter {
    explicit self_destroying(int& count) noexcept
        : waiter([](heddle::waiter* w) noexcept {
            auto* const self = static_cast<self_destroying*>(w);
            ++*self->count_;
            delete self;
          }),
          count_(&count) {}
    int* count_;
  };
  completion c;
  int woken = 0;
  for (int i = 0; i < 5; ++i) {
    auto w = std::make_unique<self_destroying>(woken);
    ASSERT_TRUE(c.attach(*w));
    static_cast<void>(w.release());
  }
  c.complete();
  EXPECT_EQ(woken, 5);
}

TEST(completion, a_waiter_sees_it_done_and_may_look_at_the_completion) {
  struct looking final : heddle::waiter {
    explicit looking(completion& c) noexcept
        : waiter([](heddle::waiter* w) noexcept {
            auto* const self = static_cast<looking*>(w);
            self->saw_done = self->completion_->done();
          }),
          completion_(&c) {}
    bool saw_done = false;
    completion* completion_;
  };
  completion c;
  looking w(c);
  ASSERT_TRUE(c.attach(w));
  c.complete();
  EXPECT_TRUE(w.saw_done);
}

TEST(completion, shows_what_came_before_complete) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 300; ++round) {
    completion c;
    int written = 0;  // plain: a sanitizer sees a missing synchronization
    std::thread completing([&] {
      written = 1;
      c.complete();
    });
    switch (round % 3) {
      case 0:
        while (!c.done()) std::this_thread::yield();
        break;
      case 1: {
        heddle::thread_waiter w;
        if (c.attach(w)) w.parker.park();
        break;
      }
      default:
        for (;;) {
          heddle::thread_waiter w;
          if (!c.attach(w)) break;
          if (!c.detach(w)) {
            w.parker.park();
            break;
          }
        }
    }
    EXPECT_EQ(written, 1);
    completing.join();
  }
}

}  // namespace
