// What a split_deque alone does; deques_test.cpp has what it shares with others.
#include <heddle/lockfree/split_deque.hpp>

#include <gtest/gtest.h>

namespace {

using deque = heddle::split_deque<int>;
using theft = deque::theft;

TEST(split_deque, has_nothing_to_share_when_it_is_empty) {
  deque d;
  int v = -1;
  EXPECT_FALSE(d.pop(v));
  EXPECT_EQ(d.raise(), theft::empty);
  EXPECT_EQ(d.steal(v), theft::empty);
  EXPECT_TRUE(d.empty());
}

TEST(split_deque, keeps_its_values_private_until_it_is_asked) {
  deque d;
  int v = -1;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(d.push(i));
  EXPECT_EQ(d.steal(v), theft::empty);
  d.ask();
  EXPECT_TRUE(d.push(5));
  EXPECT_FALSE(d.push(6)) << "a request is answered once";
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(d.steal(v), theft::success) << "half of six";
    EXPECT_EQ(v, i);
  }
  EXPECT_EQ(d.steal(v), theft::empty);
  EXPECT_EQ(d.size(), 4U);
}

TEST(split_deque, shares_its_only_value) {
  deque d;
  int v = -1;
  d.ask();
  EXPECT_TRUE(d.push(1));
  EXPECT_EQ(d.steal(v), theft::success);
  EXPECT_EQ(v, 1);
  EXPECT_FALSE(d.pop(v));
  EXPECT_TRUE(d.empty());
}

TEST(split_deque, shares_no_more_while_there_is_something_to_steal) {
  deque d;
  int v = -1;
  d.ask();
  EXPECT_TRUE(d.push(0));
  for (int i = 1; i < 8; ++i) d.push(i);
  d.ask();
  EXPECT_TRUE(d.push(8)) << "somebody asked, whatever there is";
  EXPECT_EQ(d.raise(), theft::success);
  ASSERT_EQ(d.steal(v), theft::success);
  EXPECT_EQ(d.steal(v), theft::empty);
}

// The owner is in a long task and does not push.
TEST(split_deque, gives_to_thieves_without_its_owner) {
  deque d;
  int v = -1;
  for (int i = 0; i < 8; ++i) d.push(i);
  for (int i = 0; i < 8; ++i) {
    if (d.steal(v) == theft::empty) {
      ASSERT_EQ(d.raise(), theft::success);
      ASSERT_EQ(d.steal(v), theft::success);
    }
    EXPECT_EQ(v, i);
  }
  EXPECT_EQ(d.raise(), theft::empty);
  EXPECT_FALSE(d.pop(v));
}

TEST(split_deque, takes_back_what_nobody_stole) {
  deque d;
  int v = -1;
  for (int i = 0; i < 9; ++i) d.push(i);
  ASSERT_EQ(d.raise(), theft::success);
  ASSERT_EQ(d.steal(v), theft::success);
  for (int i = 8; i > 0; --i) {
    ASSERT_TRUE(d.pop(v));
    EXPECT_EQ(v, i);
  }
  EXPECT_FALSE(d.pop(v));
  d.push(9);
  EXPECT_EQ(d.steal(v), theft::empty);
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 9);
}

}  // namespace
