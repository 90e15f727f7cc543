#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace heddle::tool {
namespace {

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// No shell gives these a meaning, wherever they stand in a word.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./,:@%+").find(c) != std::string_view::npos;
}

void append_escaped(std::string& out, std::string_view word) {
  out += "$'";
  for (const char c : word) {
    switch (c) {
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\'':
        out += "\\'";
        break;
      default:
        if (is_control(c)) {
          fmt::format_to(std::back_inserter(out), "\\{:03o}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '\'';
}

constexpr std::size_t longest = 72;

std::string cut(const std::string& line, std::size_t bytes) {
  constexpr std::size_t each_side = 32;
  if (line.size() <= longest) return line;
  return fmt::format("{}...{} ({} bytes)", line.substr(0, each_side),
                     line.substr(line.size() - each_side), bytes);
}

}  // namespace

void append_quoted(std::string& out, std::string_view word) {
  out += '\'';
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  out += '\'';
}

void append_readable(std::string& out, std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) {
    out += word;
  } else if (std::any_of(word.begin(), word.end(), is_control)) {
    append_escaped(out, word);
  } else {
    append_quoted(out, word);
  }
}

std::string readable_command(std::span<const std::string> words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    append_readable(line, word);
  }
  return line;
}

std::string shortened(std::string_view word) {
  std::string line;
  // What is cut out anyway need not be made readable.
  if (word.size() <= 2 * longest) {
    append_readable(line, word);
    return cut(line, word.size());
  }
  append_readable(line, word.substr(0, longest));
  line += ' ';
  append_readable(line, word.substr(word.size() - longest));
  return cut(line, word.size());
}

std::string shortened_command(std::span<const std::string> words) {
  const std::string line = readable_command(words);
  return cut(line, line.size());
}

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
  if (text.front() == '-') return std::nullopt;

  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double seconds = 0;
  if (unit.empty() || unit == "s") {
    seconds = number;
  } else if (unit == "ms") {
    seconds = number / 1e3;
  } else if (unit == "m") {
    seconds = number * 60;
  } else if (unit == "h") {
    seconds = number * 3600;
  } else {
    return std::nullopt;
  }
  constexpr double ten_years = 10 * 365.0 * 86400;
  if (seconds > ten_years) return std::nullopt;
  return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'K':
      case 'k':
        shift = 10;
        break;
      case 'M':
      case 'm':
        shift = 20;
        break;
      case 'G':
      case 'g':
        shift = 30;
        break;
      case 'T':
      case 't':
        shift = 40;
        break;
      default:
        break;
    }
    if (shift != 0) text.remove_suffix(1);
  }
  const auto number = parse_count(text);
  if (!number || *number > (UINT64_MAX >> (shift + 1))) return std::nullopt;
  return *number << shift;
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string clock_time(double seconds) {
  const auto total = static_cast<std::uint64_t>(std::max(0.0, std::round(seconds)));
  const auto hours = total / 3600;
  const auto minutes = total / 60 % 60;
  if (hours != 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

}  // namespace heddle::tool
