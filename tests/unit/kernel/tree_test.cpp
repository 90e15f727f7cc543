#include <gtest/gtest.h>

#include <filesystem>
#include <heddle/kernel/tree.hpp>
#include <string>
#include <vector>

#include "fake_tree.hpp"

namespace {

using heddle::kernel::tree;
using heddle_test::fake_tree;

TEST(tree, default_is_the_machine) {
  EXPECT_TRUE(tree{}.live());
  EXPECT_TRUE(tree{"/"}.live());
  EXPECT_TRUE(tree{}.read("proc/self/stat").has_value());
}

TEST(tree, any_other_root_is_not_live) {
  const fake_tree fake;
  EXPECT_FALSE(fake.files().live());
  EXPECT_FALSE(fake.files().read("proc/self/stat").has_value());
}

TEST(tree, reads_whole_files_of_any_size) {
  fake_tree fake;
  fake.write("empty", "");
  fake.write("exactly_a_buffer", std::string(1024, 'x'));
  fake.write("large", std::string(300'000, 'y'));
  EXPECT_EQ(fake.files().read("empty"), "");
  EXPECT_EQ(fake.files().read("exactly_a_buffer"), std::string(1024, 'x'));
  EXPECT_EQ(fake.files().read("large"), std::string(300'000, 'y'));
}

TEST(tree, leading_and_trailing_slashes_do_not_matter) {
  fake_tree fake;
  fake.write("a/b", "content");
  EXPECT_EQ(fake.files().read("/a/b"), "content");
  EXPECT_EQ(tree{fake.path("").string() + "//"}.read("a/b"), "content");
}

TEST(tree, what_cannot_be_read_is_not_there) {
  fake_tree fake;
  fake.make_directory("directory");
  EXPECT_EQ(fake.files().read("missing"), std::nullopt);
  EXPECT_EQ(fake.files().read("directory"), std::nullopt);
  EXPECT_EQ(fake.files().read("directory/missing/deeper"), std::nullopt);
}

TEST(tree, refuses_a_file_without_end) { EXPECT_EQ(tree{}.read("dev/zero"), std::nullopt); }

TEST(tree, lists_names_in_order) {
  fake_tree fake;
  fake.write("d/b", "");
  fake.write("d/a", "");
  fake.make_directory("d/c");
  EXPECT_EQ(fake.files().list("d"), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(fake.files().list("missing").empty());
  EXPECT_TRUE(fake.files().exists("d/c"));
  EXPECT_FALSE(fake.files().exists("d/x"));
}

}  // namespace
