#include <heddle/base/errors.hpp>

#include <string>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::HasSubstr;

template <class E>
constexpr bool is_ours =
    std::is_base_of_v<heddle::error, E> && std::is_base_of_v<std::runtime_error, E> &&
    std::is_nothrow_copy_constructible_v<E>;
static_assert(is_ours<heddle::error> && is_ours<heddle::cancelled> &&
              is_ours<heddle::broken_promise> && is_ours<heddle::no_state> &&
              is_ours<heddle::already_satisfied> && is_ours<heddle::rejected> &&
              is_ours<heddle::would_starve>);

template <class E>
std::string message_caught_as_error(const E& e) {
  try {
    throw e;
  } catch (const heddle::error& caught) {
    return caught.what();
  }
}

TEST(errors, each_is_caught_as_error_and_says_something) {
  EXPECT_NE(message_caught_as_error(heddle::cancelled()), "");
  EXPECT_NE(message_caught_as_error(heddle::broken_promise()), "");
  EXPECT_EQ(message_caught_as_error(heddle::cancelled("too late")), "too late");
  EXPECT_EQ(message_caught_as_error(heddle::rejected("closed")), "closed");
  EXPECT_EQ(message_caught_as_error(heddle::would_starve("no spare")), "no spare");
}

TEST(errors, misuse_names_what_was_misused) {
  EXPECT_THAT(message_caught_as_error(heddle::no_state("future::get")), HasSubstr("future::get"));
  EXPECT_THAT(message_caught_as_error(heddle::already_satisfied("promise")), HasSubstr("promise"));
}

}  // namespace
