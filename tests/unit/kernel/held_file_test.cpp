#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <heddle/kernel/held_file.hpp>
#include <string>
#include <utility>

#include "child.hpp"
#include "fake_tree.hpp"
#include "few_descriptors.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::child;
using heddle_test::fake_tree;
using heddle_test::few_descriptors;

std::string read(const held_file& file) {
  std::array<char, 16> buffer;
  return std::string(file.read(buffer).value_or("nothing"));
}

TEST(held_file, shows_what_is_new) {
  fake_tree fake;
  fake.write("proc/uptime", "1.5\n");
  const held_file file(fake.files(), "/proc/uptime");
  ASSERT_TRUE(file.is_open());
  EXPECT_EQ(read(file), "1.5\n");
  EXPECT_EQ(read(file), "1.5\n");
  fake.write("proc/uptime", "20\n");
  EXPECT_EQ(read(file), "20\n");
  fake.write("proc/uptime", "");
  EXPECT_EQ(read(file), "");
}

TEST(held_file, is_cut_off_where_the_buffer_ends) {
  fake_tree fake;
  fake.write("a", "0123456789abcdefghi");
  EXPECT_EQ(read(held_file(fake.files(), "a")), "0123456789abcdef");
}

TEST(held_file, that_is_not_there) {
  fake_tree fake;
  const held_file file(fake.files(), "a");
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(read(file), "nothing");
  EXPECT_EQ(read(held_file{}), "nothing");
}

TEST(held_file, that_is_a_directory) {
  fake_tree fake;
  fake.make_directory("a");
  EXPECT_EQ(read(held_file(fake.files(), "a")), "nothing");
}

TEST(held_file, moves_and_closes) {
  fake_tree fake;
  fake.write("a", "A");
  fake.write("b", "B");
  held_file one(fake.files(), "a");
  held_file other(std::move(one));
  EXPECT_FALSE(one.is_open());
  EXPECT_EQ(read(other), "A");
  one = held_file(fake.files(), "b");
  EXPECT_EQ(read(one), "B");
  one = std::move(other);
  EXPECT_EQ(read(one), "A");
  one.close();
  EXPECT_FALSE(one.is_open());
  one.close();
  EXPECT_EQ(read(one), "nothing");
}

TEST(held_file, leaves_the_upper_half_of_the_descriptors_to_the_program) {
  fake_tree fake;
  fake.write("a", "A");
  const int next = heddle_test::next_descriptor();
  ASSERT_GE(next, 0);
  const auto number = static_cast<rlim_t>(next);
  {
    const few_descriptors limit(2 * number);
    EXPECT_FALSE(held_file(fake.files(), "a").is_open());
    EXPECT_EQ(heddle_test::next_descriptor(), next) << "nothing is left open";
  }
  const few_descriptors limit(2 * number + 2);
  EXPECT_TRUE(held_file(fake.files(), "a").is_open());
}

TEST(held_file, of_a_process_that_has_ended_gives_nothing) {
  child sleeper([] { heddle_test::sleep_forever(); });
  const held_file file(tree{}, "proc/" + std::to_string(sleeper.id()) + "/stat");
  if (!file.is_open()) GTEST_SKIP() << "there is no /proc";
  EXPECT_NE(read(file), "nothing");
  sleeper.end();
  EXPECT_EQ(read(file), "nothing");
}

}  // namespace
