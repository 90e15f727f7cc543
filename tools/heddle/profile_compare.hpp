// `heddle profile --compare`: the same work one task after the other, on threads, in processes; and
// very many tasks that wait, on threads and on coroutines.
#pragma once

#include "profile_options.hpp"

namespace heddle::tool {

// Measures, prints the table and what to choose. The exit status; does not return when a signal has
// ended the run. Throws run_error, std::system_error.
int compare_ways(const profile_options& options);

}  // namespace heddle::tool
