// Lets starting a thread fail, in programs of which one source includes failing_threads.hpp.
#pragma once

#include <atomic>

namespace heddle_test {

inline std::atomic<bool> no_more_threads{false};

// No thread of the process can start another one inside its scope.
class failing_threads {
 public:
  failing_threads() { no_more_threads = true; }
  ~failing_threads() { no_more_threads = false; }
  failing_threads(const failing_threads&) = delete;
  failing_threads& operator=(const failing_threads&) = delete;
};

}  // namespace heddle_test
