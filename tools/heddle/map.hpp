// `heddle map`: a command over many inputs.
#pragma once

namespace heddle::tool {

// argv[0] is "map". Returns the exit status; ends the process by the signal when a run was
// interrupted.
int run_map(int argc, char** argv);

}  // namespace heddle::tool
