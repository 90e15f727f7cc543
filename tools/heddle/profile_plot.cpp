#include "profile_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>

namespace heddle::tool {
namespace {

constexpr double width = 800;
constexpr double left = 76;
constexpr double right = width - 28;
constexpr double plot_height = 320;
constexpr double lane_height = 18;
// Wide estimates: the reader's font is not known.
constexpr double letter_width = 6.7;
constexpr double bold_letter_width = 7.8;

constexpr std::string_view style = R"svg(  <style>
    text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #24292f; }
    .title { font-size: 16px; font-weight: 600; }
    .muted { fill: #57606a; }
    .paper { fill: #ffffff; }
    .grid { stroke: #d8dee4; stroke-width: 1; }
    .axis { stroke: #6e7781; stroke-width: 1; }
    .ideal { stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 2 5; fill: none; }
    .curve { stroke: #0969da; stroke-width: 2.2; fill: none; }
    .bar { stroke: #24292f; stroke-width: 1.4; fill: none; }
    .point { fill: #24292f; }
    .recommended { stroke: #1a7f37; fill: none; stroke-width: 1.6; }
    .peak { stroke: #0969da; fill: none; stroke-width: 1.2; stroke-dasharray: 5 4; }
    .adaptive { stroke: #9a6700; fill: none; stroke-width: 1.2; stroke-dasharray: 1.5 3; }
    .ring { stroke: #1a7f37; stroke-width: 2.2; fill: none; }
    .diamond { fill: #9a6700; }
    .drop { fill: #0969da; }
    text.recommended-label { fill: #1a7f37; font-weight: 600; }
    text.peak-label { fill: #0969da; }
    text.adaptive-label { fill: #9a6700; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .muted { fill: #9198a1; }
      .paper { fill: #0d1117; }
      .grid { stroke: #262c36; }
      .axis { stroke: #8b949e; }
      .ideal { stroke: #6e7681; }
      .curve, .peak { stroke: #58a6ff; }
      .bar { stroke: #e6edf3; }
      .point { fill: #e6edf3; }
      .recommended, .ring { stroke: #3fb950; }
      .adaptive { stroke: #d29922; }
      .diamond { fill: #d29922; }
      .drop { fill: #58a6ff; }
      text.recommended-label { fill: #3fb950; }
      text.peak-label { fill: #58a6ff; }
      text.adaptive-label { fill: #d29922; }
    }
  </style>
)svg";

// The length of the well-formed UTF-8 sequence that the text begins with; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                             : first >= 0xe0 && first <= 0xef ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f) ||
                            (first == 0xef && second == 0xbf && byte(2) >= 0xbe);
  return overlong || no_character ? 0 : length;
}

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const auto c = static_cast<unsigned char>(text.front());
    if (length == 0 || (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f) {
      out += "\uFFFD";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::size_t letters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

// At most so many letters, with "..." in the place of the rest.
std::string fitting(const std::string& text, std::size_t most) {
  if (letters(text) <= most) return text;
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    const bool begins_letter = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (begins_letter && seen++ == most - 3) break;
  }
  return text.substr(0, end) + "...";
}

// "0", "2.5", "400", "20k", "1.5M", in the units that suit the top of the axis.
std::string tick_text(double value, double top) {
  struct prefix {
    double from;
    double unit;
    std::string_view letter;
  };
  constexpr prefix prefixes[] = {{1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}};
  for (const prefix& p : prefixes) {
    if (top >= p.from && value > 0) return fmt::format("{:g}{}", value / p.unit, p.letter);
  }
  return fmt::format("{:g}", value);
}

// The smallest 1, 2 or 5 times a power of ten that divides `range` into at most `most` steps.
double round_step(double range, int most) {
  const double rough = range / most;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// Where sizes lie from left to right. Sizes that span a wide range are spaced by their ratios.
class size_scale {
 public:
  explicit size_scale(const plot& p) {
    double least = p.points.front().size;
    double most = least;
    const auto cover = [&](double size) {
      least = std::min(least, size);
      most = std::max(most, size);
    };
    for (const plot::point& point : p.points) cover(point.size);
    for (const auto* mark : {&p.recommended, &p.peak, &p.adaptive}) {
      if (*mark) cover((*mark)->size);
    }
    by_ratio_ = most / least > 24;
    first_ = by_ratio_ ? least / 1.25 : 0;
    last_ = by_ratio_ ? most * 1.25 : most + std::max(0.06 * most, 0.5);
  }

  double first() const { return first_; }
  double last() const { return last_; }
  double x(double size) const { return left + (right - left) * share(size); }
  // The size at a share of the way from left to right.
  double size_at(double share) const {
    return by_ratio_ ? first_ * std::pow(last_ / first_, share) : share * last_;
  }

  std::vector<double> ticks() const {
    std::vector<double> all;
    if (by_ratio_) {
      for (int power = 0; std::ldexp(1, power) <= last_; ++power) {
        if (const double size = std::ldexp(1, power); size >= first_) all.push_back(size);
      }
      return all;
    }
    const double step = std::max(1.0, round_step(last_, 10));
    for (int i = last_ > 1.5 * step && step > 1 ? 0 : 1; i * step <= last_; ++i) {
      all.push_back(i * step);
    }
    return all;
  }

 private:
  double share(double size) const {
    return by_ratio_ ? std::log(size / first_) / std::log(last_ / first_) : size / last_;
  }

  bool by_ratio_;
  double first_;
  double last_;
};

enum mark_kind : std::size_t { recommended, peak, adaptive, mark_kinds };
constexpr std::array<std::string_view, mark_kinds> mark_class{"recommended", "peak", "adaptive"};

// A mark's label stands above the plot, to one side of its line, in one of several lanes.
struct flag {
  mark_kind kind;
  double x;
  double label_width;
  int lane = 0;
  bool to_the_left = false;

  double begin() const { return to_the_left ? x - 6 - label_width : x + 6; }
  double end() const { return begin() + label_width; }
};

// What is wrong with an arrangement: 0 and some taste when nothing is.
double badness(const std::vector<flag>& flags) {
  constexpr double wrong = 1000;
  double sum = 0;
  for (const flag& f : flags) {
    sum += f.lane * 10 + (f.to_the_left ? 1 : 0);
    if (f.begin() < 4 || f.end() > width - 4) sum += wrong;
    for (const flag& other : flags) {
      if (&other == &f) continue;
      const bool overlap = f.begin() < other.end() + 10 && other.begin() < f.end() + 10;
      if (f.lane == other.lane && overlap) sum += wrong;
      const bool struck_through = other.x > f.begin() - 3 && other.x < f.end() + 3;
      if (other.lane >= f.lane && struck_through) sum += wrong;
    }
  }
  return sum;
}

// There are so few that every arrangement can be tried.
void arrange(std::vector<flag>& flags) {
  const auto choices = 2 * flags.size();
  std::size_t arrangements = 1;
  for (std::size_t i = 0; i < flags.size(); ++i) arrangements *= choices;
  std::vector<flag> best = flags;
  for (std::size_t number = 0; number < arrangements; ++number) {
    std::size_t rest = number;
    for (flag& f : flags) {
      f.lane = static_cast<int>(rest % choices / 2);
      f.to_the_left = rest % 2 != 0;
      rest /= choices;
    }
    if (badness(flags) < badness(best)) best = flags;
  }
  flags = std::move(best);
}

class drawing {
 public:
  explicit drawing(const plot& p) : p_(p), sizes_(p) {
    place_flags();
    double highest = 0;
    const auto cover = [&highest](double value) {
      if (std::isfinite(value)) highest = std::max(highest, value);
    };
    for (const plot::point& point : p.points) {
      cover(point.value);
      // One wild interval does not press the rest to the ground.
      cover(std::min(point.high, 2 * point.value));
    }
    for (const auto& m : marks()) {
      if (m) cover(m->value);
    }
    if (!(highest > 0)) highest = 1;
    step_ = round_step(highest * 1.04, 6);
    top_value_ = step_ * std::ceil(highest * 1.04 / step_ - 1e-9);
  }

  std::string text() {
    begin();
    draw_axes();
    draw_ideal();
    draw_curve();
    draw_marks();
    draw_points();
    draw_legend();
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  std::array<std::optional<plot::mark>, mark_kinds> marks() const {
    return {p_.recommended, p_.peak, p_.adaptive};
  }

  double y(double value) const { return bottom_ - plot_height * value / top_value_; }
  double clamped_y(double value) const { return std::clamp(y(value), top_, bottom_); }

  void place_flags() {
    const auto all = marks();
    for (std::size_t i = 0; i < mark_kinds; ++i) {
      if (!all[i]) continue;
      const double letter = i == recommended ? bold_letter_width : letter_width;
      flags_.push_back({.kind = static_cast<mark_kind>(i),
                        .x = sizes_.x(all[i]->size),
                        .label_width = letter * static_cast<double>(letters(all[i]->label))});
    }
    arrange(flags_);
    int lanes = 0;
    for (const flag& f : flags_) lanes = std::max(lanes, f.lane + 1);
    top_ = 66 + lane_height * lanes;
    bottom_ = top_ + plot_height;
  }

  void begin() {
    const double height = bottom_ + 86;
    add(R"svg(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img">
  <title>{2}</title>
)svg",
        width, height, escaped(p_.title));
    out_ += style;
    add(R"svg(  <clipPath id="inside"><rect x="{:g}" y="{:g}" width="{:g}" height="{:g}"/></clipPath>
  <rect class="paper" width="{:g}" height="{:g}" rx="6"/>
  <text class="title" x="24" y="30">{}</text>
  <text class="muted" x="24" y="50">{}</text>
)svg",
        left, top_, right - left, plot_height, width, height, escaped(fitting(p_.title, 82)),
        escaped(fitting(p_.subtitle, 118)));
  }

  void draw_axes() {
    for (int i = 0; i * step_ <= top_value_ * (1 + 1e-9); ++i) {
      const double value = i * step_;
      add(R"svg(  <path class="{}" d="M{:g} {:.1f}H{:g}"/>
  <text class="muted" x="{:g}" y="{:.1f}" text-anchor="end">{}</text>
)svg",
          value == 0 ? "axis" : "grid", left, y(value), right, left - 8, y(value) + 4,
          tick_text(value, top_value_));
    }
    for (const double size : sizes_.ticks()) {
      add(R"svg(  <path class="axis" d="M{:.1f} {:g}v5"/>
  <text class="muted" x="{:.1f}" y="{:g}" text-anchor="middle">{:g}</text>
)svg",
          sizes_.x(size), bottom_, sizes_.x(size), bottom_ + 19, size);
    }
    add(R"svg(  <text x="{:g}" y="{:g}" text-anchor="middle">{}</text>
  <text transform="translate(20 {:g}) rotate(-90)" text-anchor="middle">{}</text>
)svg",
        (left + right) / 2, bottom_ + 40, escaped(p_.size_axis), (top_ + bottom_) / 2,
        escaped(p_.value_axis));
  }

  const plot::point& smallest() const {
    return *std::min_element(p_.points.begin(), p_.points.end(),
                             [](const auto& a, const auto& b) { return a.size < b.size; });
  }

  // What the smallest size would make if every further worker added as much.
  void draw_ideal() {
    if (p_.points.size() < 2) return;
    const double each = smallest().value / smallest().size;
    draw_line("ideal", [each](double size) { return each * size; });
  }

  void draw_line(std::string_view css, const std::function<double(double)>& f) {
    constexpr int steps = 240;
    add(R"svg(  <path class="{}" clip-path="url(#inside)" d=")svg", css);
    char command = 'M';
    for (int i = 0; i <= steps; ++i) {
      const double size = sizes_.size_at(i / double{steps});
      // Below the smallest size there is nothing to be said.
      if (size < smallest().size) continue;
      const double value = f(size);
      if (!std::isfinite(value)) continue;
      add("{}{:.1f} {:.1f}", std::exchange(command, 'L'), sizes_.x(size),
          y(std::clamp(value, 0.0, 2 * top_value_)));
    }
    out_ += "\"/>\n";
  }

  void draw_curve() {
    if (p_.curve) draw_line("curve", p_.curve);
  }

  void draw_marks() {
    const auto all = marks();
    // What is recommended is drawn last, on top of the others.
    for (auto f = flags_.rbegin(); f != flags_.rend(); ++f) {
      const plot::mark& m = *all[f->kind];
      const double label_y = top_ - 8 - lane_height * f->lane;
      const double my = clamped_y(m.value);
      add(R"svg(  <path class="{}" d="M{:.1f} {:.1f}V{:.1f}"/>
  <text class="{}-label" x="{:.1f}" y="{:.1f}"{}>{}</text>
)svg",
          mark_class[f->kind], f->x, label_y - 10, bottom_, mark_class[f->kind],
          f->x + (f->to_the_left ? -6 : 6), label_y,
          f->to_the_left ? R"svg( text-anchor="end")svg" : "", escaped(m.label));
      if (f->kind == recommended) {
        add(R"svg(  <circle class="ring" cx="{:.1f}" cy="{:.1f}" r="8.5"/>
)svg",
            f->x, my);
      } else if (f->kind == peak) {
        add(R"svg(  <path class="drop" d="M{:.1f} {:.1f}l5 -9h-10z"/>
)svg",
            f->x, my - 1);
      } else {
        add(R"svg(  <path class="diamond" d="M{:.1f} {:.1f}l6 6l-6 6l-6 -6z"/>
)svg",
            f->x, my - 6);
      }
    }
  }

  void draw_points() {
    for (const plot::point& point : p_.points) {
      const double x = sizes_.x(point.size);
      if (point.high > point.low) {
        const double high = clamped_y(point.high);
        const double low = clamped_y(point.low);
        // One that goes on beyond the picture has no end there.
        const std::string end =
            point.high <= top_value_ ? fmt::format("M{:.1f} {:.1f}h8", x - 4, high) : "";
        add(R"svg(  <path class="bar" d="M{0:.1f} {1:.1f}V{2:.1f}{4}M{3:.1f} {2:.1f}h8"/>
)svg",
            x, high, low, x - 4, end);
      }
      add(R"svg(  <circle class="point" cx="{:.1f}" cy="{:.1f}" r="3.8"/>
)svg",
          x, clamped_y(point.value));
    }
  }

  void draw_legend() {
    double x = left;
    const double y = bottom_ + 68;
    const auto entry = [&](std::string_view sign, const std::string& name) {
      add(R"svg(  <g transform="translate({:.1f} {:g})">{}</g>
  <text class="muted" x="{:.1f}" y="{:g}">{}</text>
)svg",
          x, y - 4, sign, x + 34, y, escaped(name));
      x += 34 + letter_width * static_cast<double>(letters(name)) + 18;
    };
    entry(
        R"svg(<path class="bar" d="M13 -6V6M9 -6h8M9 6h8"/><circle class="point" cx="13" r="3.8"/>)svg",
        p_.point_name);
    if (p_.curve) entry(R"svg(<path class="curve" d="M0 0H26"/>)svg", p_.curve_name);
    if (p_.points.size() > 1)
      entry(R"svg(<path class="ideal" d="M0 0H26"/>)svg", "in proportion to size");
  }

  const plot& p_;
  size_scale sizes_;
  std::vector<flag> flags_;
  double top_ = 0;
  double bottom_ = 0;
  double step_ = 1;
  double top_value_ = 1;
  std::string out_;
};

}  // namespace

std::string to_svg(const plot& p) { return drawing(p).text(); }

}  // namespace heddle::tool
