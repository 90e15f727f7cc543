#pragma once

#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// One spin loop's manners: pause for a while, then give the core away each turn, because whoever is
// waited for may have lost its own; and at last sleep each turn, because a thread of higher
// priority never gives its core away by yielding.
class patience {
 public:
  void wait() noexcept {
    if (turns_ < limits::spin_turns) {
      ++turns_;
      pause();
    } else if (turns_ < limits::spin_turns + limits::yield_turns) {
      ++turns_;
      yield();
    } else {
      nap();
    }
  }
  bool exhausted() const noexcept { return turns_ >= limits::spin_turns; }

 private:
  unsigned turns_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
