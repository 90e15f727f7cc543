// One run of so many tasks at once.
#pragma once

#include <cstdint>
#include <string>

#include <heddle/sizing/measurement.hpp>

namespace heddle::tool {

struct batch {
  sizing::measurement measured{};
  std::uint64_t ended = 0;   // tasks, those before and after what was measured included
  std::uint64_t failed = 0;  // of these
  std::string complaint{};   // what the first failed task had to say; one line
  // Otherwise it was interrupted, or ran out of time, and tells nothing.
  bool complete = false;
  // The system had no room for so many tasks: why.
  std::string refused{};
};

}  // namespace heddle::tool
