// Taking apart the kernel's text files. Views point into the text they were given.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <system_error>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Cuts the next piece off the front of `text`, up to and including the first `separator`.
constexpr std::string_view take_until(std::string_view& text, char separator) noexcept {
  const std::size_t end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

// Cuts the next word off the front of `text`; empty when there is none left.
constexpr std::string_view take_word(std::string_view& text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  std::size_t end = 0;
  while (end < text.size() && !is_blank(text[end])) ++end;
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// The number that `text` consists of, white space around it aside. Nothing when it is no decimal
// number, has anything else beside it, or does not fit.
template <std::integral Number>
std::optional<Number> parse_number(std::string_view text) noexcept {
  text = trim(text);
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The value of the first line "key: value" or "key value", trimmed; nothing when no line has it.
constexpr std::optional<std::string_view> find_value(std::string_view text,
                                                     std::string_view key) noexcept {
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    if (line.empty() || (line.front() != ':' && !is_blank(line.front()))) continue;
    line.remove_prefix(1);
    return trim(line);
  }
  return std::nullopt;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
