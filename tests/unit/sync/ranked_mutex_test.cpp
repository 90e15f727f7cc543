#include <heddle/sync/ranked_mutex.hpp>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::lock_order_error;
using heddle::ranked_lock;
using heddle::ranked_mutex;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(ranked_mutex, works_with_the_standard_s_locks_in_the_right_order) {
  ranked_mutex<10> low;
  ranked_mutex<20> high;
  for (int i = 0; i < 2; ++i) {
    const std::lock_guard outer(low);
    const std::unique_lock inner(high, 1ms);
    EXPECT_TRUE(inner.owns_lock());
  }
}

TEST(ranked_mutex, a_wrong_order_names_both_and_where_the_first_was_taken) {
  ranked_mutex<10> low("accounts");
  ranked_mutex<20> high("audit");
  const ranked_lock held(high);
  const int line = __LINE__ - 1;
  EXPECT_THAT([&] { const std::lock_guard wrong(low); },
              ThrowsMessage<lock_order_error>(
                  AllOf(HasSubstr("\"accounts\" (level 10) is wanted"),
                        HasSubstr("\"audit\" (level 20), taken at " + std::string(__FILE__) + ":" +
                                  std::to_string(line)))));
  EXPECT_THROW(static_cast<void>(std::unique_lock(low, 1ms)), lock_order_error);
}

TEST(ranked_mutex, equal_levels_do_not_stand_inside_each_other) {
  ranked_mutex<10> a;
  ranked_mutex<10> b;
  const std::lock_guard held(a);
  EXPECT_THROW(const std::lock_guard wrong(b), lock_order_error);
}

TEST(ranked_mutex, a_second_lock_by_the_same_thread_is_refused) {
  ranked_mutex<10> m("till");
  const ranked_lock held(m);
  EXPECT_THAT([&] { const std::lock_guard again(m); },
              ThrowsMessage<lock_order_error>(HasSubstr("is held by this thread already")));
  EXPECT_THROW(static_cast<void>(std::unique_lock(m, std::try_to_lock)), lock_order_error);
}

TEST(ranked_mutex, what_was_refused_changes_nothing) {
  ranked_mutex<10> low;
  ranked_mutex<20> high;
  {
    const std::lock_guard held(high);
    EXPECT_THROW(const std::lock_guard wrong(low), lock_order_error);
  }
  const std::lock_guard first(low);
  const std::lock_guard second(high);
}

TEST(ranked_mutex, a_try_takes_any_level) {
  ranked_mutex<10> low;
  ranked_mutex<20> high;
  const std::lock_guard held(high);
  const std::unique_lock tried(low, std::try_to_lock);
  EXPECT_TRUE(tried.owns_lock());
}

TEST(ranked_mutex, unlocks_in_any_order) {
  ranked_mutex<10> low;
  ranked_mutex<20> middle;
  ranked_mutex<30> high;
  std::unique_lock a(low);
  std::unique_lock b(middle);
  std::unique_lock c(high);
  b.unlock();
  EXPECT_THROW(b.lock(), lock_order_error);
  c.unlock();
  b.lock();
  a.unlock();
  EXPECT_THROW(a.lock(), lock_order_error);
  b.unlock();
  a.lock();
}

TEST(ranked_mutex, deadlines_and_other_threads) {
  ranked_mutex<10> m;
  const ranked_lock held(m);
  std::thread([&] {
    EXPECT_FALSE(std::unique_lock(m, 1ms).owns_lock());
    EXPECT_FALSE(std::unique_lock(m, std::try_to_lock).owns_lock());
    // What this thread holds is nothing to the others.
    ranked_mutex<5> lower;
    const std::lock_guard mine(lower);
  }).join();
}

TEST(ranked_mutex, has_a_name_and_statistics) {
  ranked_mutex<10> m("of the third shelf");
  m.record(heddle::lock_recording::all);
  {
    const ranked_lock held(m);
  }
  EXPECT_STREQ(m.name(), "of the third shelf");
  EXPECT_EQ(m.statistics().acquisitions, 1u);
}

TEST(ranked_lock, takes_several_in_order_however_they_are_named) {
  ranked_mutex<10> low;
  ranked_mutex<20> high;
  {
    const ranked_lock both(high, low);
    static_assert(decltype(both)::lowest_level == 10 && decltype(both)::highest_level == 20);
    std::thread([&] {
      EXPECT_FALSE(std::unique_lock(low, std::try_to_lock).owns_lock());
      EXPECT_FALSE(std::unique_lock(high, std::try_to_lock).owns_lock());
    }).join();
  }
  const ranked_lock outer(low);
  const ranked_lock inner(outer, high);
}

TEST(ranked_lock, holds_none_when_one_is_refused) {
  ranked_mutex<10> low;
  ranked_mutex<20> middle;
  ranked_mutex<30> high;
  const ranked_lock held(middle);
  EXPECT_THROW(ranked_lock(low, high), lock_order_error);
  const ranked_lock free(high);
}

TEST(ranked_lock, of_many_threads_never_deadlocks) {
  const heddle_test::watchdog dog;
  ranked_mutex<1> a;
  ranked_mutex<2> b;
  ranked_mutex<3> c;
  int count = 0;
  heddle_test::run_together(4, [&](unsigned index) {
    for (int i = 0; i < 300; ++i) {
      if (index % 2 == 0) {
        const ranked_lock all(c, a, b);
        ++count;
      } else {
        const ranked_lock outer(a);
        const ranked_lock inner(outer, b, c);
        ++count;
      }
    }
  });
  EXPECT_EQ(count, 1200);
}

}  // namespace
