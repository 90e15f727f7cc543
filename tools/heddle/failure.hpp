// How the command gives up.
#pragma once

#include <stdexcept>

namespace heddle::tool {

// The documented exit statuses; 1 to 100 are the number of failed jobs.
inline constexpr int exit_more_than_100_failed = 101;
inline constexpr int exit_usage = 2;
inline constexpr int exit_trouble = 255;

// The command line makes no sense.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The run cannot go on. The message is the one line that the user gets to read.
class run_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace heddle::tool
