#include <heddle/watch/lock_report.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/sync/mutex.hpp>

namespace {

using namespace std::chrono_literals;
using heddle::lock_report;
using heddle::lock_statistics;
using heddle::time_distribution;
using testing::HasSubstr;
using testing::Not;

time_distribution times(std::uint64_t count, std::chrono::nanoseconds each) {
  std::array<std::uint64_t, time_distribution::steps> counts{};
  counts[time_distribution::step_of(static_cast<std::uint64_t>(each.count()))] = count;
  return {counts, each * static_cast<std::int64_t>(count), each};
}

lock_statistics orders() {
  static const int object = 0;
  lock_statistics s;
  s.name = "orders \"new\"";
  s.object = &object;
  s.acquisitions = 200;
  s.contended = 5;
  s.wait = times(5, 3ms);
  s.hold = times(200, 25us);
  s.recorded_for = 2s;
  return s;
}

TEST(lock_report, tells_in_a_table) {
  lock_statistics ended = orders();
  ended.name = "gone";
  ended.object = nullptr;
  ended.kind = heddle::wait_kind::semaphore;
  lock_statistics unused;
  unused.name = "never recorded";
  const std::string text = lock_report({orders(), ended, unused}).to_text();
  EXPECT_THAT(text, HasSubstr("orders \"new\"  mutex           200      2.50%         0   15 ms  "
                              "3 ms     3 ms      25 us    25 us     75.0%    100\n"));
  EXPECT_THAT(text, HasSubstr("gone (ended)  semaphore"));
  EXPECT_THAT(text, Not(HasSubstr("never recorded")));
  EXPECT_THAT(text, HasSubstr("1 named, but nothing was recorded of them"));
}

TEST(lock_report, leaves_out_what_is_beyond_the_rows) {
  const std::string text = lock_report({orders(), orders(), orders()}).to_text(1);
  EXPECT_THAT(text, HasSubstr("and 2 more\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(lock_report, writes_json) {
  EXPECT_EQ(lock_report({orders()}).to_json(),
            "{\"locks\":[{\"name\":\"orders \\\"new\\\"\",\"kind\":\"mutex\",\"ended\":false,"
            "\"acquisitions\":200,\"contended\":5,\"contended_share\":0.025,\"given_up\":0,"
            "\"long_waits\":0,\"contention_ratio\":0.75,\"acquisitions_per_second\":100,"
            "\"recorded_for\":2,\"total_hold\":0.005,"
            "\"wait\":{\"count\":5,\"total\":0.015,\"mean\":0.003,\"p50\":0.003,\"p99\":0.003,"
            "\"max\":0.003},"
            "\"hold\":{\"count\":200,\"total\":0.005,\"mean\":2.5e-05,\"p50\":2.5e-05,"
            "\"p99\":2.5e-05,\"max\":2.5e-05},\"longest_hold_site\":\"\"}]}");
  EXPECT_EQ(lock_report(std::vector<lock_statistics>()).to_json(), "{\"locks\":[]}");
}

TEST(lock_report, knows_the_locks_of_the_process_and_where_they_were_held) {
  heddle::mutex m("reported");
  m.record(heddle::lock_recording::all);
  {
    const std::lock_guard lock(m);
  }
  EXPECT_THAT(lock_report().to_text(1000), HasSubstr("reported"));
  // The test program, or a function of it.
  EXPECT_THAT(lock_report().to_json(), HasSubstr("+0x"));
}

}  // namespace
