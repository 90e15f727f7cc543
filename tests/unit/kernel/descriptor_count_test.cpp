#include <gtest/gtest.h>
#include <unistd.h>

#include <heddle/kernel/descriptor_count.hpp>
#include <optional>
#include <string>

#include "fake_tree.hpp"
#include "few_descriptors.hpp"
#include "kernel/count_entries.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;

TEST(descriptor_count, grows_with_what_is_opened) {
  const auto before = count_descriptors();
  ASSERT_TRUE(before.has_value());
  const int opened[] = {::dup(0), ::dup(0), ::dup(0)};
  EXPECT_EQ(count_descriptors(), *before + 3);
  for (const int descriptor : opened) ::close(descriptor);
  EXPECT_EQ(count_descriptors(), before);
}

TEST(descriptor_count, is_the_same_in_every_way) {
  const auto told = count_descriptors();
  EXPECT_EQ(count_by_trying(), told);
  const auto listed = count_entries("/proc/self/fd");
  if (!listed) GTEST_SKIP() << "there is no /proc";
  EXPECT_EQ(*listed, *told + 1) << "with the one that is open to look";
}

TEST(descriptor_count, works_when_there_are_none_left) {
  const auto before = count_descriptors();
  const heddle_test::few_descriptors none(0);
  const auto without = count_descriptors();
  ASSERT_TRUE(before && without);
  EXPECT_LE(*without, *before) << "those above the limit cannot be tried";
}

TEST(descriptor_count, of_a_recorded_process) {
  fake_tree fake;
  EXPECT_EQ(count_descriptors(fake.files()), std::nullopt);
  fake.make_directory("proc/self/fd");
  EXPECT_EQ(count_descriptors(fake.files()), 0u);
  for (int i = 0; i < 300; ++i) fake.write("proc/self/fd/" + std::to_string(i), "");
  EXPECT_EQ(count_descriptors(fake.files()), 300u) << "more than the buffer holds";
}

}  // namespace
