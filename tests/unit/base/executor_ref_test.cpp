#include <heddle/base/executor_ref.hpp>

#include <vector>

#include <gtest/gtest.h>

namespace {

using heddle::executor_ref;
using heddle::job;
using heddle::verb;

struct runs_in_place {
  int posted = 0;

  executor_ref executor() noexcept {
    return {this, [](void* self, job* j) noexcept {
              ++static_cast<runs_in_place*>(self)->posted;
              j->run(j, verb::run);
            }};
  }
};
static_assert(heddle::executor<runs_in_place>);

struct lends_nothing {};
struct may_throw {
  executor_ref executor();
};
static_assert(!heddle::executor<lends_nothing>);
static_assert(!heddle::executor<may_throw>);

struct counter final : job {
  counter() noexcept : job([](job* j, verb) noexcept { ++static_cast<counter*>(j)->calls; }) {}
  int calls = 0;
};

TEST(executor_ref, posts_to_the_executor_that_lent_it) {
  runs_in_place a;
  runs_in_place b;
  counter c;
  a.executor().post(&c);
  a.executor().post(&c);
  EXPECT_EQ(a.posted, 2);
  EXPECT_EQ(b.posted, 0);
  EXPECT_EQ(c.calls, 2);
}

TEST(executor_ref, is_false_when_it_refers_to_nothing) {
  runs_in_place a;
  EXPECT_FALSE(executor_ref{});
  EXPECT_TRUE(a.executor());
}

TEST(executor_ref, compares_by_identity) {
  runs_in_place a;
  runs_in_place b;
  EXPECT_EQ(a.executor(), a.executor());
  EXPECT_NE(a.executor(), b.executor());
  EXPECT_NE(a.executor(), executor_ref{});
}

}  // namespace
