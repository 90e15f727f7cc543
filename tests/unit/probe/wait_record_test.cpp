#include <heddle/probe/wait_record.hpp>

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace {

using heddle::describe;
using heddle::wait_kind;

TEST(wait_record, describes_each_kind_in_words_of_its_own) {
  EXPECT_STREQ(describe(wait_kind::future), "a future");
  EXPECT_STREQ(describe(wait_kind::mutex), "a mutex");
  std::set<std::string> descriptions;
  for (int kind = 0; kind <= static_cast<int>(wait_kind::join); ++kind) {
    const auto k = static_cast<wait_kind>(kind);
    ASSERT_NE(describe(k), nullptr);
    EXPECT_NE(std::string(describe(k)), "");
    descriptions.insert(describe(k));
  }
  EXPECT_EQ(descriptions.size(), 15U);
}

TEST(wait_record, begins_now_and_without_a_name) {
  const auto before = heddle::prim::clock::now();
  const heddle::wait_record record{wait_kind::external, nullptr};
  const auto after = heddle::prim::clock::now();
  EXPECT_GE(record.since, before);
  EXPECT_LE(record.since, after);
  EXPECT_EQ(record.name, nullptr);
}

}  // namespace
