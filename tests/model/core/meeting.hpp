// What models of events, latches, barriers and semaphores share.
#pragma once

#include <heddle/prim/parker.hpp>

#include "core.hpp"

namespace core_model {

// Returns when all other threads sleep or have ended, or earlier, if the search wants it to: so
// that what follows meets sleepers without costing preemptions.
inline void let_others_sleep() {
  prim::parker nobody;
  nobody.park_until(prim::deadline_after(std::chrono::nanoseconds(100)));
}

}  // namespace core_model
