// `heddle profile`: how throughput depends on the number of tasks at once.
#pragma once

namespace heddle::tool {

// argv[0] is "profile". Returns the exit status; does not return when a signal has ended the run.
int run_profile(int argc, char** argv);

}  // namespace heddle::tool
