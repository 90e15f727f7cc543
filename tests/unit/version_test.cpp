// The header's version, its three numbers and the project's version are written in three places.
#include <gtest/gtest.h>

#include <heddle/version.hpp>
#include <string>

TEST(Version, HeaderAgreesWithTheProject) {
  EXPECT_STREQ(heddle::version_string, HEDDLE_PROJECT_VERSION);
}

TEST(Version, NumbersAgreeWithTheString) {
  const auto numbers = std::to_string(heddle::version_major) + "." +
                       std::to_string(heddle::version_minor) + "." +
                       std::to_string(heddle::version_patch);
  EXPECT_EQ(numbers, heddle::version_string);
}
