// The command line of `heddle map`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobserver.hpp"
#include "parallelism.hpp"

namespace heddle::tool {

enum class report_form { none, text, json };
enum class halt_form { never, soon, now };

struct map_options {
  parallelism jobs;
  bool explain = false;
  std::optional<jobserver_style> jobserver;  // that we make for the jobs
  std::vector<std::string> command;
  std::vector<std::string> input_files;                  // -a, in order; "-" is standard input
  std::vector<std::vector<std::string>> argument_lists;  // one for each :::
  bool null_separated = false;
  bool shell = false;

  bool keep_order = false;
  bool ungroup = false;
  bool tag = false;
  std::string results;  // "" = none
  std::uint64_t spill_limit = std::uint64_t{4} << 30;

  std::chrono::nanoseconds timeout{};  // 0 = none
  std::chrono::nanoseconds delay{};
  unsigned retries = 0;
  halt_form halt = halt_form::never;
  std::uint64_t halt_failures = 0;
  bool dry_run = false;

  std::string joblog;  // "" = none
  bool sync = false;
  bool resume = false;
  bool resume_failed = false;

  bool bar = false;
  report_form report = report_form::none;

  bool help = false;

  // Input sources that every job takes a value from.
  std::size_t sources() const noexcept {
    const std::size_t named = input_files.size() + argument_lists.size();
    return named == 0 ? 1 : named;
  }
};

// The words after `heddle map`. Throws usage_error.
map_options parse_map_options(const std::vector<std::string>& words);

// The page that `heddle map --help` prints.
std::string map_help();

}  // namespace heddle::tool
