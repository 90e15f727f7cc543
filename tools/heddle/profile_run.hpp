// One run of `heddle profile` over a command or a kernel, from the first size to the exit status.
#pragma once

#include "profile_options.hpp"

namespace heddle::tool {

// Measures, prints the report and writes the files that were asked for. The exit status; does not
// return when a signal has ended the run. Throws usage_error, run_error, std::system_error.
int profile_workload(const profile_options& options);

}  // namespace heddle::tool
