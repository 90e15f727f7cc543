// Pools small enough to be explored.
#pragma once

#include <chrono>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/parker.hpp>

#include "core.hpp"

namespace core_model {

inline heddle::thread_pool_options tiny(unsigned workers, unsigned spares = 0) {
  heddle::thread_pool_options o;
  o.workers = workers;
  o.max_spares = spares;
  o.spare_keep_alive = std::chrono::nanoseconds::max();
  o.core_count = []() noexcept { return 2u; };
  // A destructor that waits for ever is a deadlock, which the checker reports; it needs no clock.
  o.stuck_after = std::chrono::nanoseconds::max();
  return o;
}

// Two threads that must run at the same time, without the pool's knowledge of their waiting.
class meeting {
 public:
  void first() noexcept {
    second_came_.park();
    first_came_.unpark();
  }
  void second() noexcept {
    second_came_.unpark();
    first_came_.park();
  }

 private:
  prim::parker first_came_, second_came_;
};

}  // namespace core_model
