#include <heddle/base/unhandled.hpp>

#include <atomic>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/threads.hpp"

namespace {

using testing::HasSubstr;

std::atomic<int> seen{0};
thread_local std::string last_message;

void remember(std::exception_ptr e) noexcept {
  ++seen;
  try {
    std::rethrow_exception(std::move(e));
  } catch (const std::exception& x) {
    last_message = x.what();
  } catch (...) {
    last_message = "something else";
  }
}

class unhandled : public testing::Test {
 protected:
  void SetUp() override { seen = 0; }
  void TearDown() override { heddle::set_unhandled_handler(nullptr); }
};

TEST_F(unhandled, goes_to_the_handler_and_is_counted) {
  heddle::set_unhandled_handler(remember);
  const auto before = heddle::unhandled_count();
  heddle::report_unhandled(std::make_exception_ptr(std::runtime_error("lost")));
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(last_message, "lost");
  EXPECT_EQ(heddle::unhandled_count(), before + 1);
}

TEST_F(unhandled, setting_returns_the_handler_before) {
  const auto first = heddle::set_unhandled_handler(remember);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(heddle::set_unhandled_handler(nullptr), &remember);
  EXPECT_EQ(heddle::set_unhandled_handler(remember), first);
}

TEST_F(unhandled, the_first_handler_writes_one_line_to_stderr) {
  testing::internal::CaptureStderr();
  const auto before = heddle::unhandled_count();
  heddle::report_unhandled(std::make_exception_ptr(std::runtime_error("the disk is full")));
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, HasSubstr("the disk is full"));
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 1);
  EXPECT_EQ(written.back(), '\n');
  EXPECT_EQ(heddle::unhandled_count(), before + 1);
}

TEST_F(unhandled, the_first_handler_takes_what_is_no_std_exception) {
  testing::internal::CaptureStderr();
  heddle::report_unhandled(std::make_exception_ptr(42));
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 1);
}

TEST_F(unhandled, leaves_cancelled_alone) {
  heddle::set_unhandled_handler(remember);
  const auto before = heddle::unhandled_count();
  heddle::report_unhandled(std::make_exception_ptr(heddle::cancelled()));
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(heddle::unhandled_count(), before);
}

TEST_F(unhandled, counts_exactly_from_many_threads) {
  heddle::set_unhandled_handler(remember);
  const auto before = heddle::unhandled_count();
  heddle_test::run_together(4, [](unsigned) {
    for (int i = 0; i < 500; ++i) {
      heddle::report_unhandled(std::make_exception_ptr(std::runtime_error("lost")));
      heddle::set_unhandled_handler(remember);
    }
  });
  EXPECT_EQ(seen, 2000);
  EXPECT_EQ(heddle::unhandled_count(), before + 2000);
}

}  // namespace
