// The picture of sizes over time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "report.hpp"

namespace bench {
namespace {

constexpr double width = 260;
constexpr double height = 150;
constexpr double gap_x = 56;
constexpr double gap_y = 62;
constexpr double top = 84;
constexpr std::size_t columns = 4;

// Colours that people who do not see all of them tell apart, from M. Okabe and K. Ito, on light and
// on dark ground.
constexpr const char* style = R"(<style>
  .ground { fill: #ffffff } text { fill: #1f2328; font: 12px sans-serif }
  .small { font-size: 10px } .title { font-size: 13px; font-weight: bold }
  .frame, .grid { fill: none; stroke: #d0d7de } .other { fill: #8c959f; opacity: 0.15 }
  .line { fill: none; stroke-width: 1.4; stroke-linejoin: round }
  .oracle { stroke: #1f2328; stroke-dasharray: 5 4; stroke-width: 1.2; fill: none }
  .adaptive { stroke: #0072b2; stroke-width: 2.6 }
  .dotnet { stroke: #d55e00 } .gradient2 { stroke: #009e73 } .aimd { stroke: #cc79a7 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } text { fill: #e6edf3 }
    .frame, .grid { stroke: #3d444d } .oracle { stroke: #e6edf3 }
    .adaptive { stroke: #56b4e9 } .dotnet { stroke: #ff8c42 } .gradient2 { stroke: #2fd0a5 }
    .aimd { stroke: #e6a1c8 }
  }
</style>
)";

constexpr std::array laws{"adaptive", "dotnet", "gradient2", "aimd"};

bool is_law(const std::string& contender) {
  return std::find(laws.begin(), laws.end(), contender) != laws.end();
}

class panel {
 public:
  panel(const load_result& load, double x, double y) : load_(load), x_(x), y_(y) {
    for (const auto& run : load.first_round) {
      seconds_ = std::max(seconds_, run.stretches.back().end);
      for (const auto& one : run.sizes) largest_ = std::max(largest_, one.size);
    }
    for (const auto& one : load.oracle) largest_ = std::max(largest_, one.size);
    doublings_ = std::ceil(std::log2(largest_) + 0.1);
  }

  void draw(std::ostream& svg) const {
    svg << fmt::format(R"(<text class="title" x="{:.0f}" y="{:.0f}">{}</text>)", x_, y_ - 8,
                       load_.name)
        << '\n';
    draw_grid(svg);
    if (load_.first_round.empty()) return;
    draw_oracle(svg);
    // Ours last, so that it lies on top.
    for (const bool own : {false, true})
      for (const auto& run : load_.first_round)
        if (is_law(run.what.contender) && (run.what.contender == own_name) == own)
          draw_sizes(svg, run);
  }

 private:
  double across(double seconds) const { return x_ + width * seconds / seconds_; }
  double up(double size) const { return y_ + height * (1 - std::log2(size) / doublings_); }

  void draw_grid(std::ostream& svg) const {
    svg << fmt::format(R"(<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>)", x_, y_,
                       width, height)
        << '\n';
    const int step = doublings_ > 6 ? 2 : 1;
    for (int i = 0; i <= doublings_; i += step)
      svg << fmt::format(
                 R"(<path class="grid" d="M{:.1f} {:.1f}h{}"/><text class="small" text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)",
                 x_, up(1 << i), width, x_ - 5, up(1 << i) + 3.5, 1 << i)
          << '\n';
    for (int i = 0; i <= 4; ++i)
      svg << fmt::format(
                 R"(<text class="small" text-anchor="middle" x="{:.1f}" y="{:.1f}">{:.3g}{}</text>)",
                 across(seconds_ * i / 4), y_ + height + 14, seconds_ * i / 4, i == 4 ? " s" : "")
          << '\n';
  }

  void draw_oracle(std::ostream& svg) const {
    const auto& stretches = load_.first_round.front().stretches;
    for (std::size_t i = 0; i < stretches.size(); ++i) {
      const auto& one = stretches[i];
      if (i % 2 == 1)
        svg << fmt::format(R"(<rect class="other" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>)",
                           across(one.begin), y_, across(one.end) - across(one.begin), height);
      for (const auto& best : load_.oracle)
        if (best.kind == one.kind)
          svg << fmt::format(R"(<path class="oracle" d="M{:.1f} {:.1f}H{:.1f}"/>)",
                             across(one.begin), up(best.size), across(one.end))
              << '\n';
    }
  }

  void draw_sizes(std::ostream& svg, const outcome& run) const {
    if (run.sizes.empty()) return;
    svg << fmt::format(R"(<path class="line {}" d="M{:.1f} {:.1f})", run.what.contender, across(0),
                       up(run.sizes.front().size));
    for (const auto& one : run.sizes)
      svg << fmt::format("H{:.1f}V{:.1f}", std::min(across(one.at), x_ + width), up(one.size));
    svg << fmt::format("H{:.1f}\"/>\n", x_ + width);
  }

  const load_result& load_;
  double x_;
  double y_;
  double seconds_ = 0.001;
  int largest_ = 2;
  double doublings_ = 1;
};

void draw_legend(std::ostream& svg) {
  double x = gap_x;
  const auto entry = [&](const char* name, const std::string& classes) {
    svg << fmt::format(R"(<path class="{}" d="M{:.0f} 52h26"/><text x="{:.0f}" y="56">{}</text>)",
                       classes, x, x + 32, name)
        << '\n';
    x += 130;
  };
  entry("best fixed size", "oracle");
  for (const char* const law : laws) entry(law, fmt::format("line {}", law));
}

}  // namespace

void write_plot(std::ostream& svg, const std::vector<load_result>& results) {
  const std::size_t rows = (results.size() + columns - 1) / columns;
  const double all_x = gap_x + static_cast<double>(columns) * (width + gap_x);
  const double all_y = top + 16 + static_cast<double>(rows) * (height + gap_y);
  svg << fmt::format(
             R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}">)",
             all_x, all_y)
      << '\n'
      << style << R"(<rect class="ground" width="100%" height="100%"/>)" << '\n'
      << fmt::format(
             R"(<text class="title" x="{}" y="26">Workers over time; grey: the load has changed</text>)",
             gap_x)
      << '\n';
  draw_legend(svg);
  for (std::size_t i = 0; i < results.size(); ++i)
    panel(results[i], gap_x + static_cast<double>(i % columns) * (width + gap_x),
          top + 16 + static_cast<double>(i / columns) * (height + gap_y))
        .draw(svg);
  svg << "</svg>\n";
}

}  // namespace bench
