#include "base/json_writer.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace {

using heddle::detail::json_writer;

std::string in_json(std::string_view text) {
  json_writer json;
  json.value(text);
  return std::move(json).take();
}

std::string number(double value) {
  json_writer json;
  json.value(value);
  return std::move(json).take();
}

TEST(json_writer, commas_stand_between) {
  json_writer json;
  json.open('{').field("a", 1).field("b", true).open("c", '[').value(1).value(2).open('{').close(
      '}');
  json.close(']').field("d", "x").close('}');
  EXPECT_EQ(std::move(json).take(), R"({"a":1,"b":true,"c":[1,2,{}],"d":"x"})");
}

TEST(json_writer, numbers) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-1.5), "-1.5");
  EXPECT_EQ(number(1.0 / 3), "0.333333333");
  EXPECT_EQ(number(1e300), "1e+300");
  EXPECT_EQ(number(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "null");
  json_writer json;
  json.open('[').value(~std::uint64_t{0}).value(std::chrono::nanoseconds(1500000000)).close(']');
  EXPECT_EQ(std::move(json).take(), "[18446744073709551615,1.5]");
}

TEST(json_writer, what_strings_may_not_hold_is_escaped) {
  EXPECT_EQ(in_json("a\"b\\c\n\t\x01\x1f/"), R"("a\"b\\c\u000a\u0009\u0001\u001f/")");
  EXPECT_EQ(in_json(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(json_writer, what_is_no_utf8_is_replaced) {
  const std::string good =
      "\x7f \xC2\xA9 \xE2\x82\xAC \xED\x9F\xBF \xF0\x9F\xA7\xB5 \xF4\x8F\xBF\xBF";
  EXPECT_EQ(in_json(good), '"' + good + '"');
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(in_json("\x80"), '"' + bad + '"');                                // no lead
  EXPECT_EQ(in_json("\xC0\xAF"), '"' + bad + bad + '"');                      // overlong
  EXPECT_EQ(in_json("\xE0\x80\xAF"), '"' + bad + bad + bad + '"');            // overlong
  EXPECT_EQ(in_json("\xED\xA0\x80"), '"' + bad + bad + bad + '"');            // a surrogate
  EXPECT_EQ(in_json("\xF4\x90\x80\x80"), '"' + bad + bad + bad + bad + '"');  // too large
  EXPECT_EQ(in_json("\xF0\x9F\xA7"), '"' + bad + bad + bad + '"');            // cut off
  EXPECT_EQ(in_json("\xC2x"), '"' + bad + "x\"");
}

}  // namespace
