// Words as a shell writes them, and quantities as a person writes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace heddle::tool {

// Appends the word in single quotes, so that sh reads back exactly these bytes.
void append_quoted(std::string& out, std::string_view word);

// Appends the word as a person would type it: bare when that is safe, in single quotes when it is
// printable, else as $'...' with escapes, so that it never contains a tab or a newline.
void append_readable(std::string& out, std::string_view word);

// The words, readable, with spaces between. Pasted into bash it runs the same command.
std::string readable_command(std::span<const std::string> words);

// For messages: a readable word or command, cut in the middle when it is longer than a line.
std::string shortened(std::string_view word);
std::string shortened_command(std::span<const std::string> words);

// "2", "1.5", "200ms", "90s", "5m", "1h": seconds without a unit. Nothing for anything else,
// negative numbers included.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

// "65536", "64K", "16M", "4G", "1T", in powers of 1024. Nothing for anything else.
std::optional<std::uint64_t> parse_size(std::string_view text);

// Decimal digits and nothing else.
std::optional<std::uint64_t> parse_count(std::string_view text);

// "0:07", "12:30", "3:05:00".
std::string clock_time(double seconds);

}  // namespace heddle::tool
