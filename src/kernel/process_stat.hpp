// What /proc/PID/stat says.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include <heddle/kernel/text.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

struct process_stat {
  char state = '?';  // R, S, D, Z, ...
  pid_t parent = 0;
  std::chrono::nanoseconds used{};    // CPU time, of ended threads too
  std::chrono::nanoseconds reaped{};  // by descendants that have been waited for
  int threads = 0;
  std::uint64_t started = 0;  // tells apart processes that had the same number

  bool has_ended() const noexcept { return (state == 'Z' || state == 'X') && threads <= 1; }
};

// "70 (name) S 1 70 70 0 -1 ...", where the name may have blanks and parentheses. See
// proc_pid_stat(5). The same of one thread, in task/TID/stat.
inline std::optional<process_stat> parse_process_stat(std::string_view text,
                                                      long ticks_per_second) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);

  process_stat s;
  const std::string_view state = take_word(text);
  if (state.size() != 1) return std::nullopt;
  s.state = state.front();
  const auto parent = parse_number<pid_t>(take_word(text));
  for (int skipped = 5; skipped <= 13; ++skipped) take_word(text);
  std::int64_t ticks[4] = {};  // user, system, and both of the children
  for (std::int64_t& column : ticks) {
    const auto number = parse_number<std::int64_t>(take_word(text));
    if (!number || *number < 0) return std::nullopt;
    column = *number;
  }
  take_word(text);
  take_word(text);
  const auto threads = parse_number<int>(take_word(text));
  take_word(text);
  const auto started = parse_number<std::uint64_t>(take_word(text));
  if (!parent || !threads || !started) return std::nullopt;
  const auto to_time = [ticks_per_second](std::int64_t count) {
    return std::chrono::nanoseconds(1'000'000'000 / ticks_per_second) * count;
  };
  s.parent = *parent;
  s.used = to_time(ticks[0] + ticks[1]);
  s.reaped = to_time(ticks[2] + ticks[3]);
  s.threads = *threads;
  s.started = *started;
  return s;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
