// The parts of heddle profile that can be seen without measuring anything.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include "heddle/failure.hpp"
#include "heddle/profile_options.hpp"
#include "heddle/profile_output.hpp"
#include "heddle/profile_plot.hpp"

namespace {

using namespace heddle::tool;
namespace sizing = heddle::sizing;

plot small_plot() {
  plot p;
  p.title = "a command";
  p.size_axis = "jobs at once";
  p.value_axis = "tasks per second";
  p.point_name = "measured";
  p.points = {{1, 10, 9, 11}, {2, 19, 18, 20}, {4, 30, 28, 32}};
  return p;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(profile_options, sizes_may_come_in_any_order) {
  EXPECT_EQ(parse_profile_options({"--sizes", "8,1,4", "true"}).sizes, (std::vector{1, 4, 8}));
  EXPECT_THROW(parse_profile_options({"--sizes", "8,1,8", "true"}), usage_error);
}

TEST(profile_options, words_after_the_options_are_the_command_and_its_inputs) {
  const auto o =
      parse_profile_options({"--max=3", "--", "-cmd", "--max", "{}", ":::", "a", ":::", "b"});
  EXPECT_EQ(o.max, 3);
  EXPECT_EQ(o.command, (std::vector<std::string>{"-cmd", "--max", "{}"}));
  EXPECT_EQ(o.argument_lists, (std::vector<std::vector<std::string>>{{"a"}, {"b"}}));
}

TEST(profile_options, precision_is_a_share_or_in_per_cent) {
  EXPECT_DOUBLE_EQ(parse_profile_options({"--precision", "5%", "true"}).precision, 0.05);
  EXPECT_DOUBLE_EQ(parse_profile_options({"--precision", "0.05", "true"}).precision, 0.05);
}

TEST(profile_plot, text_is_escaped_and_made_well_formed) {
  plot p = small_plot();
  p.title = "<a href=\"x\">&\x01 \xff\xc0\xaf \xed\xa0\x80 gr\xc3\xbc\xc3\x9f";
  const std::string svg = to_svg(p);
  EXPECT_NE(svg.find("&lt;a href=&quot;x&quot;&gt;&amp;"), std::string::npos);
  EXPECT_EQ(svg.find('\x01'), std::string::npos);
  EXPECT_EQ(svg.find('\xff'), std::string::npos);
  EXPECT_EQ(svg.find("\xc0\xaf"), std::string::npos) << "an overlong form";
  EXPECT_EQ(svg.find("\xed\xa0\x80"), std::string::npos) << "half of a surrogate pair";
  EXPECT_NE(svg.find("gr\xc3\xbc\xc3\x9f"), std::string::npos);
}

TEST(profile_plot, a_long_title_is_cut_between_letters) {
  plot p = small_plot();
  p.title = "x";
  for (int i = 0; i < 200; ++i) p.title += "\xc3\xbc";
  const std::string svg = to_svg(p);
  EXPECT_NE(svg.find("\xc3\xbc...</text>"), std::string::npos);
}

TEST(profile_plot, shows_every_point_and_only_intervals_that_are_known) {
  plot p = small_plot();
  p.points.push_back({8, 31, 31, 31});
  const std::string svg = to_svg(p);
  EXPECT_EQ(count(svg, R"(<circle class="point")"), 4u + 1u) << "one is in the legend";
  EXPECT_EQ(count(svg, R"(<path class="bar")"), 3u + 1u);
}

TEST(profile_plot, an_interval_that_leaves_the_picture_has_no_end_in_it) {
  const auto bars = [](const plot& p) {
    const std::string svg = to_svg(p);
    return std::pair(count(svg, R"(<path class="bar")"), count(svg, "h8"));
  };
  plot p = small_plot();
  const auto [before, ends] = bars(p);
  p.points.back().high = 1000;
  EXPECT_EQ(bars(p), std::pair(before, ends - 1));
}

TEST(profile_plot, no_number_is_missing_whatever_the_curve_does) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double at_most : {0.0, 1e-9, 1.0, 1e12}) {
    plot p = small_plot();
    p.points = {{1, at_most, at_most, infinity}, {65536, at_most / 2, 0, at_most}};
    p.curve = [](double size) { return size > 100 ? std::nan("") : 1 / (size - size); };
    const std::string svg = to_svg(p);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << at_most;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << at_most;
  }
}

struct label {
  double begin, end, y;
};
struct line {
  double x, top;
};

// Labels overlap neither each other nor the lines of the others, and are inside of the picture.
TEST(profile_plot, labels_keep_clear_of_each_other) {
  std::mt19937 random(7);
  const std::regex mark_line(
      R"re(<path class="(recommended|peak|adaptive)" d="M([0-9.]+) ([0-9.]+)V)re");
  const std::regex mark_label(
      R"re(class="(recommended|peak|adaptive)-label" x="([0-9.]+)" y="([0-9.]+)"( text-anchor="end")?>([^<]*)<)re");
  for (int round = 0; round < 300; ++round) {
    plot p = small_plot();
    const int most = 1 << (random() % 11);
    p.points.push_back({static_cast<double>(most), 20, 19, 21});
    const auto somewhere = [&] {
      return 1.0 + static_cast<double>(random() % static_cast<unsigned>(most));
    };
    p.recommended = plot::mark{somewhere(), 15, "recommended: 1024"};
    p.peak = plot::mark{somewhere(), 20, "peak of the curve: 1023 (1000 to 1100)"};
    p.adaptive = plot::mark{somewhere(), 10, "adaptive pool: 1024"};
    const std::string svg = to_svg(p);

    std::vector<label> labels;
    std::vector<line> lines;
    for (std::sregex_iterator m(svg.begin(), svg.end(), mark_line), end; m != end; ++m) {
      lines.push_back({std::stod((*m)[2]), std::stod((*m)[3])});
    }
    for (std::sregex_iterator m(svg.begin(), svg.end(), mark_label), end; m != end; ++m) {
      const double width = 6 * static_cast<double>((*m)[5].length());
      const double x = std::stod((*m)[2]);
      const bool ends_there = (*m)[4].matched;
      labels.push_back(
          {ends_there ? x - width : x, ends_there ? x : x + width, std::stod((*m)[3])});
    }
    ASSERT_EQ(labels.size(), 3u);
    ASSERT_EQ(lines.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      const label& one = labels[i];
      EXPECT_GE(one.begin, 0) << "round " << round;
      EXPECT_LE(one.end, 800) << "round " << round;
      for (std::size_t k = 0; k < 3; ++k) {
        if (i == k) continue;
        const label& other = labels[k];
        EXPECT_FALSE(one.y == other.y && one.begin < other.end && other.begin < one.end)
            << "round " << round << ", labels " << i << " and " << k;
        EXPECT_FALSE(lines[k].top < one.y && lines[k].x > one.begin && lines[k].x < one.end)
            << "round " << round << ", line " << k << " through label " << i;
      }
    }
  }
}

sizing::profile_report report_of(std::chrono::nanoseconds task) {
  std::vector<sizing::measurement> measurements;
  for (const int size : {1, 2, 4}) {
    for (int i = 0; i < 3; ++i) {
      sizing::measurement m{.size = size, .tasks = static_cast<std::uint64_t>(100 * size)};
      m.elapsed = 100 * task + i * task;
      measurements.push_back(m);
    }
  }
  return sizing::make_report(measurements, {.workload = "x", .cores = 2, .physical_cores = 2});
}

TEST(profile_output, axes_have_units_that_can_be_read) {
  EXPECT_EQ(make_plot(report_of(std::chrono::milliseconds(1)), {"jobs", ""}).value_axis,
            "tasks per second");
  EXPECT_EQ(make_plot(report_of(std::chrono::seconds(30)), {"jobs", ""}).value_axis,
            "tasks per minute");
  const plot slow = make_plot(report_of(std::chrono::hours(2)), {"jobs", ""});
  EXPECT_EQ(slow.value_axis, "tasks per hour");
  EXPECT_NEAR(slow.points.front().value, 0.5, 0.01);
  EXPECT_EQ(slow.size_axis, "jobs at once");
}

TEST(profile_output, the_rival_that_ran_is_marked) {
  auto report = report_of(std::chrono::milliseconds(1));
  report.rivals.push_back({.name = "adaptive pool", .size = 3, .throughput = 2500});
  const plot p = make_plot(report, {"threads", "adaptive pool"});
  ASSERT_TRUE(p.adaptive);
  EXPECT_EQ(p.adaptive->size, 3);
  EXPECT_EQ(p.adaptive->label, "adaptive pool: 3");
  ASSERT_TRUE(p.recommended);
  EXPECT_FALSE(make_plot(report, {"threads", "another"}).adaptive);
}

}  // namespace
