// `heddle doctor`: what Heddle sees of the machine, and the pool sizes that follow from it.
#pragma once

namespace heddle::tool {

// argv[0] is "doctor". Returns the exit status: 0, 2 for a bad command line, 255 when the answer
// could not be written. Ignores SIGPIPE from then on.
int run_doctor(int argc, char** argv);

}  // namespace heddle::tool
