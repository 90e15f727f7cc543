#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <heddle/sizing/profile_report.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "unit/sizing/noise.hpp"

namespace {

using namespace heddle::sizing;
using sizing_test::noise;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// A server that answers 1000 requests a second, each in 10 ms if it has nothing else to do.
std::vector<measurement> of_a_server() {
  std::vector<measurement> all;
  noise n(3);
  for (const int size : {1, 2, 4, 8, 16, 32}) {
    for (int i = 0; i < 4; ++i) {
      const double throughput = std::min(size * 100.0, 1000.0) * (1 + 0.005 * n.next());
      constexpr double tasks = 500;
      const auto nanoseconds = [](double seconds) {
        return std::chrono::nanoseconds(std::llround(seconds * 1e9));
      };
      all.push_back({.size = size,
                     .tasks = static_cast<std::uint64_t>(tasks),
                     .elapsed = nanoseconds(tasks / throughput),
                     .in_tasks = nanoseconds(size * tasks / throughput),
                     .cpu = nanoseconds(tasks * 0.0002),
                     .voluntary_switches = 500});
    }
  }
  return all;
}

profile_report report_of_a_server() {
  return make_report(of_a_server(), {.workload = "GET \"/\"", .cores = 2, .physical_cores = 2});
}

TEST(make_report, draws_all_conclusions) {
  const profile_report r = report_of_a_server();
  EXPECT_EQ(r.workload, "GET \"/\"");
  EXPECT_EQ(r.sizes.size(), 6U);
  EXPECT_EQ(r.measurements.size(), 24U);
  EXPECT_TRUE(r.amdahl.fitted);
  EXPECT_TRUE(r.universal.fitted);
  ASSERT_TRUE(r.residence);
  EXPECT_TRUE(r.residence->fitted);
  ASSERT_EQ(r.little.size(), 6U);
  for (const little_check& l : r.little) EXPECT_TRUE(l.holds) << l.size;
  EXPECT_NEAR(r.saturation.value(), 10, 0.3);
  ASSERT_TRUE(r.recommended);
  EXPECT_EQ(r.recommended->size, 16);
  EXPECT_EQ(r.recommended->why, limit::saturation);
  EXPECT_TRUE(r.complete);

  ASSERT_EQ(r.rivals.size(), 4U);
  EXPECT_EQ(r.rivals[0].name, "cpu_bound");
  EXPECT_NEAR(r.rivals[0].throughput.value(), 200, 5);
  EXPECT_EQ(r.rivals[1].name, "io_bound");
  EXPECT_EQ(r.rivals[1].size, 64) << "2 cores x (1 + 9.8 / 0.2) is more than the rule's cap";
  EXPECT_THAT(r.rivals[1].reason, HasSubstr("capped at 64"));
  EXPECT_FALSE(r.rivals[1].throughput) << "was not measured";
}

TEST(make_report, of_nothing_says_so) {
  const profile_report r = make_report({}, {});
  EXPECT_FALSE(r.recommended);
  EXPECT_FALSE(r.universal.fitted);
  EXPECT_THAT(r.remarks, testing::ElementsAre("Nothing was measured."));
  EXPECT_THAT(to_text(r), HasSubstr("Nothing was measured."));
  EXPECT_THAT(to_json(r), HasSubstr("\"recommended\":null"));
  EXPECT_EQ(to_csv(r).find('\n'), to_csv(r).size() - 1) << "a heading alone";
}

TEST(make_report, of_one_measurement_without_signals) {
  const std::vector<measurement> one{{.size = 3, .tasks = 7, .elapsed = std::chrono::seconds(2)}};
  const profile_report r = make_report(one, {.cores = 0.2});
  ASSERT_TRUE(r.recommended);
  EXPECT_EQ(r.recommended->size, 3);
  EXPECT_FALSE(r.amdahl.fitted);
  EXPECT_TRUE(r.little.empty());
  EXPECT_FALSE(r.saturation || r.residence);
  EXPECT_THAT(to_text(r), HasSubstr("2 different sizes are needed, 1 was measured"));
}

TEST(make_report, says_when_waits_for_a_cpu_could_not_be_read) {
  auto all = of_a_server();
  const auto unseen = Contains(HasSubstr("counts as asleep"));
  EXPECT_THAT(make_report(all, {.cores = 2}).remarks, unseen);
  for (auto& m : all) m.runnable = std::chrono::nanoseconds(0);
  EXPECT_THAT(make_report(all, {.cores = 2}).remarks, Not(unseen));
}

TEST(to_text, does_not_praise_a_law_that_could_not_miss) {
  auto all = of_a_server();
  std::erase_if(all, [](const measurement& m) { return m.size > 2; });
  EXPECT_THAT(to_text(make_report(all, {.cores = 2})), Not(HasSubstr("R2")));
  EXPECT_THAT(to_text(report_of_a_server()), HasSubstr("R2"));
}

TEST(make_report, of_work_that_took_no_cpu_time_at_all) {
  auto all = of_a_server();
  for (auto& m : all) m.cpu = std::chrono::nanoseconds(0);
  const profile_report r = make_report(all, {.cores = 2, .physical_cores = 2});
  for (const rival_size& rival : r.rivals) EXPECT_NE(rival.name, "io_bound");
}

TEST(to_text, has_a_table_laws_and_a_recommendation) {
  const std::string text = to_text(report_of_a_server());
  EXPECT_THAT(text, HasSubstr("Profile of GET \"/\" on 2 usable cores\n"));
  EXPECT_THAT(text, HasSubstr("Universal Scalability Law: sigma "));
  EXPECT_THAT(text, HasSubstr("Amdahl's law: sigma "));
  EXPECT_THAT(text, HasSubstr("Little's law: all workers are busy at every size\n"));
  EXPECT_THAT(text, HasSubstr("Recommended size: 16\n"));
  EXPECT_THAT(text, HasSubstr("cpu_bound  2 ("));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  std::istringstream lines(text);
  std::vector<std::size_t> widths;
  for (std::string line; std::getline(lines, line);)
    if (line.find(" ms") != std::string::npos && line.find("200 us") != std::string::npos)
      widths.push_back(line.size());
  EXPECT_EQ(widths, std::vector<std::size_t>(6, widths.front())) << "columns are flush";
}

TEST(to_text, puts_what_littles_law_tells_into_one_line) {
  auto all = of_a_server();
  for (auto& m : all)
    if (m.size >= 16) *m.in_tasks = *m.in_tasks / 2;
  const std::string text = to_text(make_report(all, {.cores = 2, .physical_cores = 2}));
  EXPECT_THAT(text, testing::AnyOf(HasSubstr("Little's law at size 16: "),
                                   HasSubstr("Little's law at size 32: ")));
  EXPECT_THAT(text, HasSubstr("(likewise at "));
}

TEST(to_text, keeps_to_the_columns_it_is_given) {
  profile_report r = report_of_a_server();
  std::string remark = "A remark with  two spaces and ";
  remark.append(120, 'x').append(" one long word");
  r.remarks.push_back(std::move(remark));
  for (const std::size_t columns :
       {std::size_t{1}, std::size_t{40}, std::size_t{80}, std::size_t{100}}) {
    std::istringstream all(to_text(r, columns));
    for (std::string line; std::getline(all, line);) {
      if (line.find("xxx") != line.npos) continue;
      EXPECT_LE(line.size(), std::max<std::size_t>(columns, 40)) << line;
    }
  }
  EXPECT_THAT(to_text(r, 1000), HasSubstr("with  two spaces and xxx"));
  EXPECT_THAT(to_text(r, 100), HasSubstr("efficiency"));
  EXPECT_THAT(to_text(r, 80), Not(HasSubstr("efficiency"))) << "follows from the speed-up";
  EXPECT_THAT(to_text(r, 80), HasSubstr("speed-up"));
}

TEST(to_csv, has_a_row_for_each_size_and_as_many_fields_in_each) {
  std::istringstream lines(to_csv(report_of_a_server()));
  std::string line;
  std::vector<std::ptrdiff_t> commas;
  std::vector<std::string> rows;
  while (std::getline(lines, line)) {
    commas.push_back(std::count(line.begin(), line.end(), ','));
    rows.push_back(line);
  }
  ASSERT_EQ(rows.size(), 7U);
  EXPECT_EQ(commas, std::vector<std::ptrdiff_t>(7, 13));
  EXPECT_EQ(rows[0].substr(0, 23), "size,repetitions,tasks,");
  EXPECT_EQ(rows[1].substr(0, 9), "1,4,2000,");
  EXPECT_EQ(rows[5].substr(0, 3), "16,");
  EXPECT_EQ(rows[5].back(), '1') << "the recommended one";
  EXPECT_EQ(rows[6].back(), '0');
  EXPECT_THAT(rows[1], HasSubstr(",,")) << "how long tasks were runnable is not known";
}

TEST(to_json, is_one_object_whose_brackets_match) {
  profile_report r = report_of_a_server();
  r.remarks.emplace_back("a \"quoted\" back\\slash,\n\ta tab and \x01");
  const std::string json = to_json(r);
  EXPECT_THAT(json, HasSubstr(R"("workload":"GET \"/\"")"));
  EXPECT_THAT(json, HasSubstr(R"(a \"quoted\" back\\slash,\u000a\u0009a tab and \u0001)"));
  EXPECT_THAT(json, HasSubstr("\"cores\":2,"));
  EXPECT_THAT(json, HasSubstr("\"size\":16"));
  EXPECT_THAT(json, HasSubstr("\"limit\":\"saturation\""));
  EXPECT_THAT(json, HasSubstr("\"runnable_seconds_per_task\":null"));
  EXPECT_THAT(json, Not(HasSubstr("inf")));
  EXPECT_THAT(json, Not(HasSubstr("nan")));
  EXPECT_THAT(json, Not(HasSubstr(",,")));
  EXPECT_THAT(json, Not(HasSubstr(",}")));
  EXPECT_THAT(json, Not(HasSubstr("{,")));
  std::string open;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '{' || c == '[')) {
      open += c;
    } else if (!quoted && (c == '}' || c == ']')) {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), c == '}' ? '{' : '[');
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_FALSE(quoted);
}

}  // namespace
