// What a pool says of itself, to people and to programs.
#include <heddle/exec/pool_report.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <nlohmann/json.hpp>

#include "support/pools.hpp"

namespace {

using heddle::pool_report;
using heddle::thread_pool;
using heddle::thread_pool_options;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

namespace sizing = heddle::sizing;

using namespace std::chrono_literals;

class fixed_law final : public sizing::law {
 public:
  sizing::choice first(double, int, int) override {
    return {2, sizing::cause::start, "two \"to begin with\"", 1ms};
  }
  sizing::choice next(const sizing::window&) override {
    return {3, sizing::cause::trial, "three\nare better", 1ms};
  }
};

sizing::adaptive two_then_three() {
  return {.min = 1, .max = 8, .make_law = []() -> std::unique_ptr<sizing::law> {
            return std::make_unique<fixed_law>();
          }};
}

TEST(pool_report, of_a_pool_that_was_told_nothing) {
  thread_pool pool(2);
  pool.submit([] {}).get();
  pool.wait_idle();
  const pool_report r = pool.report();
  EXPECT_EQ(r.name, "heddle");
  EXPECT_GT(r.age, 0ns);
  ASSERT_EQ(r.options.size(), 1u);
  EXPECT_EQ(r.options[0].name, "workers");
  EXPECT_EQ(r.options[0].value, "2");
  EXPECT_EQ(r.statistics.completed, 1u);
  EXPECT_FALSE(r.sizing.has_value());
  const std::string text = r.to_text();
  EXPECT_THAT(text, HasSubstr("pool \"heddle\""));
  EXPECT_THAT(text, HasSubstr("1 submitted, 1 completed, 0 running, 0 waiting"));
  EXPECT_THAT(text, HasSubstr("not measured (option measure_times)"));
  EXPECT_THAT(text, Not(HasSubstr("sizing")));
  const json parsed = json::parse(r.to_json());
  EXPECT_EQ(parsed["name"], "heddle");
  EXPECT_EQ(parsed["options"]["workers"], "2");
  EXPECT_EQ(parsed["statistics"]["completed"], 1);
  EXPECT_EQ(parsed["statistics"]["queue_sizes"].size(), 2u);
  EXPECT_FALSE(parsed.contains("sizing"));
}

TEST(pool_report, tells_what_was_asked_for) {
  thread_pool_options options;
  options.workers = 1;
  options.name = "l\xFFoo\"ms\n";  // no UTF-8
  options.schedule = heddle::scheduling::fifo;
  options.queue_capacity = 7;
  options.overflow = heddle::when_full::drop_oldest;
  options.aging = 20ms;
  options.spin = 0ns;
  options.max_spares = 3;
  options.when_starved = heddle::at_spare_cap::fail;
  options.spare_keep_alive = 5s;
  options.measure_times = true;
  options.stuck_after = 1s;
  options.on_worker_start = [](unsigned) {};
  options.core_count = []() noexcept { return 1u; };
  thread_pool pool(std::move(options));
  pool.submit([] { std::this_thread::sleep_for(1ms); }).get();
  pool.wait_idle();
  const pool_report r = pool.report();
  const std::string text = r.to_text();
  for (const char* line :
       {"workers = 1", "schedule = fifo", "queue_capacity = 7", "overflow = drop_oldest",
        "aging = 20 ms", "spin = 0 ns", "max_spares = 3", "when_starved = fail",
        "spare_keep_alive = 5 s", "measure_times = on", "stuck_after = 1 s",
        "on_worker_start = set", "core_count = set"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("on_stuck")));
  EXPECT_THAT(text, HasSubstr("on average"));
  const json parsed = json::parse(r.to_json());
  EXPECT_EQ(parsed["name"], "l\xEF\xBF\xBDoo\"ms\n");
  EXPECT_EQ(parsed["options"]["overflow"], "drop_oldest");
  EXPECT_EQ(parsed["statistics"]["times"]["tasks"], 1);
  EXPECT_GE(parsed["statistics"]["times"]["run_total"].get<double>(), 1e-3);
}

TEST(pool_report, tells_levels_only_where_there_are_several) {
  thread_pool pool(1);
  pool.submit([] {}).get();
  EXPECT_THAT(pool.report().to_text(), Not(HasSubstr("  normal ")));
  pool.submit(heddle::priority::high, [] {}).get();
  pool.submit(static_cast<heddle::priority>(3), [] {}).get();
  const std::string text = pool.report().to_text();
  EXPECT_THAT(text, HasSubstr("  normal "));
  EXPECT_THAT(text, HasSubstr("  high "));
  EXPECT_THAT(text, HasSubstr("  level 3 "));
  EXPECT_THAT(text, Not(HasSubstr("  low ")));
}

TEST(pool_report, tells_how_the_size_was_found) {
  thread_pool pool(two_then_three());
  const heddle_test::pool_watchdog dog(pool);
  std::atomic<bool> over{false};
  for (int i = 0; i < 4; ++i) {
    pool.post([&] {
      while (!over) std::this_thread::sleep_for(100us);
    });
  }
  EXPECT_TRUE(heddle_test::eventually([&] { return pool.size() == 3; }));
  EXPECT_TRUE(heddle_test::eventually([&] { return pool.sizing_log().size() >= 2; }));
  over = true;
  pool.wait_idle();
  pool.set_sizing(false);
  const pool_report r = pool.report();
  ASSERT_TRUE(r.sizing.has_value());
  EXPECT_FALSE(r.sizing->on);
  EXPECT_EQ(r.sizing->min, 1);
  EXPECT_EQ(r.sizing->max, 8);
  EXPECT_EQ(r.sizing->most_now, 8);
  EXPECT_GT(r.sizing->cores, 0);
  EXPECT_GE(r.statistics.sizing_windows, 1u);
  EXPECT_GT(r.statistics.sizing_cpu, 0ns);
  const std::string text = r.to_text();
  EXPECT_THAT(text, HasSubstr("sizing = from 1 to 8"));
  EXPECT_THAT(text, HasSubstr("start: two \"to begin with\""));
  EXPECT_THAT(text, HasSubstr("2 ->    3"));
  const json parsed = json::parse(r.to_json());
  const json& log = parsed["sizing"]["log"];
  ASSERT_GE(log.size(), 2u);
  EXPECT_EQ(log[0]["reason"], "two \"to begin with\"");
  EXPECT_EQ(log[1]["before"], 2);
  EXPECT_EQ(log[1]["after"], 3);
  EXPECT_EQ(log[1]["why"], "trial");
  EXPECT_EQ(log[1]["reason"], "three\nare better");
  EXPECT_EQ(log[1]["signals"]["size"], 2);
  EXPECT_GT(log[1]["signals"]["length"].get<double>(), 0);
  // Both come from the same file, which is there or not.
  EXPECT_EQ(log[1]["signals"]["voluntary_switches"].is_null(),
            log[1]["signals"]["runnable"].is_null());
  EXPECT_EQ(parsed["sizing"]["on"], false);
}

}  // namespace
