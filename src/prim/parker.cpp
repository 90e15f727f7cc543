#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <heddle/prim/parker.hpp>
#include "prim/timespec.hpp"

namespace heddle::inline HEDDLE_ABI::prim {
namespace {

static_assert(sizeof(atomic<unsigned>) == 4, "a futex is four bytes");

// Sleeps while the word holds `expected`, until the absolute steady time `deadline` if there is
// one. Returns for any reason; callers look again.
void futex_wait(atomic<unsigned>& word, unsigned expected, const timespec* deadline) noexcept {
  syscall(SYS_futex, reinterpret_cast<unsigned*>(&word), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
          expected, deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake_one(atomic<unsigned>* word) noexcept {
  syscall(SYS_futex, reinterpret_cast<unsigned*>(word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

void parker::park() noexcept { park_until(never); }

bool parker::park_until(time_point deadline) noexcept {
  unsigned expected = empty;
  if (!state_.compare_exchange_strong(expected, asleep, relaxed, relaxed)) {
    // An exchange, not a store: a second unpark may have come since, and what it published must be
    // seen by whoever swallows its token.
    state_.exchange(empty, acquire);
    return true;
  }
  const timespec limit = deadline == never ? timespec{} : to_timespec(deadline);
  for (;;) {
    futex_wait(state_, asleep, deadline == never ? nullptr : &limit);
    const bool expired = deadline != never && clock::now() >= deadline;
    if (expired) return state_.exchange(empty, acquire) == token;
    if (state_.load(relaxed) == token) {
      state_.exchange(empty, acquire);
      return true;
    }
  }
}

void parker::unpark() noexcept {
  atomic<unsigned>* const word = &state_;
  if (word->exchange(token, release) == asleep) futex_wake_one(word);
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
