#include <gtest/gtest.h>

#include <cstdint>
#include <heddle/kernel/text.hpp>
#include <optional>
#include <string_view>

namespace {

using namespace heddle::kernel;

TEST(text, numbers) {
  EXPECT_EQ(parse_number<int>("42"), 42);
  EXPECT_EQ(parse_number<int>(" 42\n"), 42);
  EXPECT_EQ(parse_number<int>("-1\n"), -1);
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"), 18446744073709551615u);
}

TEST(text, what_is_no_number) {
  for (const std::string_view bad : {"", " ", "max", "4x", "x4", "4 4", "0x10", "1.5", "+3", "--1"})
    EXPECT_EQ(parse_number<int>(bad), std::nullopt) << bad;
  EXPECT_EQ(parse_number<int>("2147483648"), std::nullopt);
  EXPECT_EQ(parse_number<std::uint64_t>("-1"), std::nullopt);
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551616"), std::nullopt);
}

TEST(text, pieces_and_words) {
  std::string_view text = "a:b::c";
  EXPECT_EQ(take_until(text, ':'), "a");
  EXPECT_EQ(take_until(text, ':'), "b");
  EXPECT_EQ(take_until(text, ':'), "");
  EXPECT_EQ(take_until(text, ':'), "c");
  EXPECT_EQ(take_until(text, ':'), "");

  text = "  one\ttwo\n";
  EXPECT_EQ(take_word(text), "one");
  EXPECT_EQ(take_word(text), "two");
  EXPECT_EQ(take_word(text), "");
}

TEST(text, values_by_key) {
  constexpr std::string_view text = "Mems: 1\nMem:\t 2 kB \nother 3\nlast:4";
  EXPECT_EQ(find_value(text, "Mem"), "2 kB");
  EXPECT_EQ(find_value(text, "other"), "3");
  EXPECT_EQ(find_value(text, "last"), "4");
  EXPECT_EQ(find_value(text, "Me"), std::nullopt);
  EXPECT_EQ(find_value("", "Mem"), std::nullopt);
}

}  // namespace
