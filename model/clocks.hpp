// Vector clocks of sixteen threads, small enough to be two registers.
#pragma once

#include <cstdint>
#include <cstring>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

inline constexpr unsigned max_threads = 16;

// An event is a thread's number and its epoch, which grows with each of the thread's operations. A
// clock holds, for each thread, the last epoch that is known; an event is covered by a clock whose
// epoch of that thread is not less.
using epoch = short;
inline constexpr epoch never_happened = 32767;  // an event that no clock covers

using lanes = epoch __attribute__((vector_size(2 * max_threads)));

inline void join(lanes& into, const lanes& other) noexcept { into = into > other ? into : other; }
inline bool any(const lanes& mask) noexcept {
  std::uint64_t words[4];
  std::memcpy(words, &mask, sizeof words);
  return (words[0] | words[1] | words[2] | words[3]) != 0;
}
// Whether the clock covers one of the events, given by a clock's form; all of them.
inline bool covers_any(const lanes& clock, const lanes& events) noexcept {
  return any(events <= clock);
}
inline bool covers_all(const lanes& clock, const lanes& events) noexcept {
  return !any(events > clock);
}

// What a thread knows, and hands on when it releases.
struct view {
  lanes happened{};  // what happens before: decides races
  // What coherence must respect: also what the total order of seq_cst fences adds.
  lanes coherent{};
  // The seq_cst accesses up to this one precede a fence that happens before.
  std::uint32_t fenced = 0;

  void join(const view& other) noexcept {
    detail::join(happened, other.happened);
    detail::join(coherent, other.coherent);
    if (other.fenced > fenced) fenced = other.fenced;
  }
};

}  // namespace heddle::inline HEDDLE_ABI::model::detail
