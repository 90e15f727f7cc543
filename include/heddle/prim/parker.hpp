// Where a thread sleeps.
#pragma once

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/parker.hpp>
#else

namespace heddle::inline HEDDLE_ABI::prim {

// A token that one thread waits for: unpark() leaves it, park() takes it, sleeping until it is
// there. Tokens do not add up. Only sync/blocking_region and executors call park; everybody else
// blocks through them.
//
// Thread-safety: one thread parks, any thread unparks.
// Memory ordering: what happened before unpark() happened before the return of the park() that
// took its token.
// Destruction: legal as soon as park() has returned true, even while the unpark() that woke it has
// not returned. After the token is stored, unpark() uses the address only as a key for the kernel
// and never reads it; a wake-up that reaches whoever parks there next is a spurious one, which
// every loop below tolerates.
class HEDDLE_API parker {
 public:
  parker() = default;
  parker(const parker&) = delete;
  parker& operator=(const parker&) = delete;

  void park() noexcept;
  // Returns false when the deadline passed and no token was there.
  bool park_until(time_point deadline) noexcept;
  void unpark() noexcept;

 private:
  enum : unsigned { empty, token, asleep };

  atomic<unsigned> state_{empty};
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
