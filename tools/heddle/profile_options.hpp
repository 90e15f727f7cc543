// The command line of `heddle profile`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profile_waiters.hpp"

namespace heddle::tool {

// Work that comes with the command, to see how one kind of load scales on this machine.
enum class builtin_work { cpu, io, memory, lock, mixed };

struct profile_options {
  // What is measured: a kernel, a command, or one of the two below.
  std::optional<builtin_work> kernel;
  bool once = false;        // of the kernel: a single task, and nothing is measured
  std::uint64_t steps = 0;  // of computing that take a millisecond; 0: to be found out
  bool compare = false;
  std::optional<waiter_kind> waiters;  // so many tasks that wait are run, and what they cost told
  std::vector<std::string> command;

  std::vector<std::string> input_files;                  // -a, in order; "-" is standard input
  std::vector<std::vector<std::string>> argument_lists;  // one for each :::
  bool null_separated = false;
  bool shell = false;
  bool show_output = false;

  std::vector<int> sizes;  // rising; empty: found by a search
  std::optional<int> max;  // of the search
  double precision = 0.02;
  std::chrono::nanoseconds time_limit = std::chrono::seconds(60);

  std::string csv;  // "" = none, "-" = standard output
  std::string json;
  std::string svg;

  bool help = false;

  // Whether something else than the table goes to standard output.
  bool stdout_is_taken() const noexcept { return csv == "-" || json == "-" || svg == "-"; }
};

inline constexpr int most_at_once = 65536;
inline constexpr int most_repetitions = 12;  // of a size

std::string_view to_string(builtin_work what) noexcept;

// The words after `heddle profile`. Throws usage_error.
profile_options parse_profile_options(const std::vector<std::string>& words);

// The page that `heddle profile --help` prints.
std::string profile_help();

}  // namespace heddle::tool
