// Numbers in the words of reasons and messages.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::sizing::detail {

// "2", "1.5", "0.3333": whole numbers in full, others to so many significant digits.
inline std::string number(double value, int digits = 4) {
  char text[40];
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  if (whole) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
  }
  return text;
}

// 0.123 is "12 %".
inline std::string percent(double share) {
  return number(std::abs(share) < 0.1 ? std::round(share * 1000) / 10 : std::round(share * 100)) +
         " %";
}

// "3 sizes", "1 size".
inline std::string count(double value, const std::string& singular) {
  const std::string digits = number(value);
  return digits + ' ' + singular + (digits == "1" ? "" : "s");
}

// "4.1 us", "12 ms", "3.2 s".
inline std::string duration(double seconds) {
  if (seconds < 1e-6) return number(seconds * 1e9, 3) + " ns";
  if (seconds < 1e-3) return number(seconds * 1e6, 3) + " us";
  if (seconds < 1) return number(seconds * 1e3, 3) + " ms";
  return number(seconds, 3) + " s";
}

}  // namespace heddle::inline HEDDLE_ABI::sizing::detail
