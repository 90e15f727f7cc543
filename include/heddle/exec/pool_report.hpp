// One page about a pool: its options, what it has done, and how it found its size.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <heddle/exec/pool_options.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sizing/law.hpp>

namespace heddle::inline HEDDLE_ABI {

// How an adaptive pool came to its size.
struct sizing_report {
  bool on = true;    // else the size stays as it is: set_sizing(false)
  int min = 1;       // as the options say
  int max = 1;       // likewise
  int most_now = 1;  // max, or less: what descriptors, threads and memory leave, min at least
  double cores = 1;  // that the pool may use, fractions included
  std::vector<sizing::logged_choice> log{};  // the last decisions, oldest first
};

struct pool_report {
  struct option {
    std::string name{};
    std::string value{};
  };

  std::string name{};
  std::chrono::nanoseconds age{};  // since the pool was made
  std::vector<option> options{};   // that differ from their defaults
  pool_statistics statistics{};
  std::optional<sizing_report> sizing{};  // of an adaptive pool

  // For people: a page of some twenty lines, and one for each decision.
  HEDDLE_API std::string to_text() const;
  // For programs: one JSON object (RFC 8259). Times are in seconds.
  HEDDLE_API std::string to_json() const;
};

}  // namespace heddle::inline HEDDLE_ABI
