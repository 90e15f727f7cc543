#include <gtest/gtest.h>

#include <heddle/kernel/cpu_set.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using heddle::kernel::cpu_set;

std::vector<int> numbers(std::string_view list) {
  const auto set = cpu_set::parse(list);
  if (!set) return {-1};
  return {set->begin(), set->end()};
}

TEST(cpu_set, parses_the_kernels_lists) {
  const std::pair<std::string_view, std::vector<int>> table[] = {
      {"", {}},
      {"\n", {}},
      {"0", {0}},
      {"0-3,5,7-8\n", {0, 1, 2, 3, 5, 7, 8}},
      {" 2 , 4 ", {2, 4}},
      {"5,0-1", {0, 1, 5}},
      {"1,1,0-1", {0, 1}},
      {"0-9:2/4", {0, 1, 4, 5, 8, 9}},
      {"3-3", {3}},
  };
  for (const auto& [list, expected] : table) EXPECT_EQ(numbers(list), expected) << list;
}

TEST(cpu_set, refuses_everything_else) {
  for (const std::string_view bad :
       {"x", "-1", "1-", "3-1", "1,,2", ",1", "1,", "1-2-3", "1.5", "0-3:", "0-3:0/2", "0-3:3/2",
        "0-3:1/0", "131072", "0-4000000000", "99999999999999999999"})
    EXPECT_EQ(cpu_set::parse(bad), std::nullopt) << bad;
}

TEST(cpu_set, writes_what_it_parses) {
  for (const std::string list : {"", "0", "0-3,5,7-8", "1023-1025,4095", "0,2,4"})
    EXPECT_EQ(cpu_set::parse(list)->to_string(), list);
}

TEST(cpu_set, holds_more_cpus_than_a_fixed_mask) {
  const auto set = cpu_set::parse("0-8191");
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->size(), 8192);
  EXPECT_TRUE(set->contains(8191));
  EXPECT_FALSE(set->contains(8192));
  EXPECT_EQ(*set, cpu_set::first(8192));
}

TEST(cpu_set, insertion_keeps_order) {
  cpu_set set;
  for (const int cpu : {5, 1, 3, 5, 9, 1}) set.insert(cpu);
  EXPECT_EQ(set.to_string(), "1,3,5,9");
  EXPECT_EQ(set.size(), 4);
}

TEST(cpu_set, intersection) {
  EXPECT_EQ((*cpu_set::parse("0-5") & *cpu_set::parse("2,4-9")).to_string(), "2,4-5");
  EXPECT_TRUE((*cpu_set::parse("0-5") & cpu_set{}).empty());
}

TEST(cpu_set, bad_numbers_are_named) {
  cpu_set set;
  EXPECT_THROW(set.insert(-1), std::invalid_argument);
  EXPECT_THROW(cpu_set::first(-3), std::invalid_argument);
  EXPECT_THROW(cpu_set::first(cpu_set::limit + 1), std::invalid_argument);
  try {
    set.insert(cpu_set::limit);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("131072"), std::string::npos) << e.what();
  }
}

}  // namespace
