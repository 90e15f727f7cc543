// What the running kernel offers, asked of it directly.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

struct features {
  bool pidfd = false;       // pidfd_open, Linux 5.3: a process as a descriptor to wait for
  bool membarrier = false;  // the private expedited form, Linux 4.14: a barrier on other threads
  bool psi = false;         // pressure stall information, Linux 4.20, unless switched off
  bool schedstat = false;   // run and wait times of threads
};

// Asks; nothing is changed or registered. A sandbox that refuses a system call makes it absent.
// Four system calls or files, some 15 µs.
HEDDLE_API features read_features();

}  // namespace heddle::inline HEDDLE_ABI::kernel
