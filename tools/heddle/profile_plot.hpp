// A picture of throughput against size, as SVG.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace heddle::tool {

struct plot {
  struct point {
    double size = 0;
    double value = 0;
    double low = 0;  // the interval; equal to `value` when it is unknown
    double high = 0;
  };
  // A size worth a vertical line and a label.
  struct mark {
    double size = 0;
    double value = 0;
    std::string label;
  };

  std::string title;
  std::string subtitle;
  std::string size_axis;   // "threads"
  std::string value_axis;  // "tasks per second"
  std::string point_name;  // what the points are, for the legend
  std::string curve_name;  // likewise
  std::vector<point> points;
  std::function<double(double)> curve;  // none when empty
  std::optional<mark> recommended;
  std::optional<mark> peak;
  std::optional<mark> adaptive;
};

// A document of its own, about 800 by 480. Follows the reader's light or dark colour scheme. Every
// text is escaped; bytes that no XML document may hold become U+FFFD.
std::string to_svg(const plot& p);

}  // namespace heddle::tool
