// Vector clocks of sixteen threads, of two registers each.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

inline constexpr unsigned max_threads = 16;

// An event is a thread's number and its epoch, which grows with each of the thread's operations. A
// clock holds, for each thread, the last epoch that is known; an event is covered by a clock whose
// epoch of that thread is not less.
using epoch = short;
inline constexpr epoch never_happened = 32767;  // an event that no clock covers

// Sixteen epochs, handled in registers of eight: wider vectors are taken apart by compilers where
// the processor has none.
class lanes {
 public:
  static lanes all(epoch e) noexcept {
    lanes l;
    for (epoch& x : l.epochs_) x = e;
    return l;
  }

  epoch& operator[](unsigned thread) noexcept { return epochs_[thread]; }
  epoch operator[](unsigned thread) const noexcept { return epochs_[thread]; }

  void join(const lanes& other) noexcept {
    for (unsigned i = 0; i < 2; ++i) {
      const eight a = half(i);
      const eight b = other.half(i);
      const eight greater = a > b ? a : b;
      std::memcpy(epochs_ + 8 * i, &greater, sizeof greater);
    }
  }
  // As a clock: whether it covers one of the events, or all of them.
  bool covers_any(const lanes& events) const noexcept {
    return is_set((events.half(0) <= half(0)) | (events.half(1) <= half(1)));
  }
  bool covers_all(const lanes& events) const noexcept {
    return !is_set((events.half(0) > half(0)) | (events.half(1) > half(1)));
  }
  bool any() const noexcept { return is_set((half(0) | half(1)) != 0); }

 private:
  using eight = epoch __attribute__((vector_size(16)));

  eight half(unsigned i) const noexcept {
    eight h;
    std::memcpy(&h, epochs_ + 8 * i, sizeof h);
    return h;
  }
  static bool is_set(const eight& mask) noexcept {
#if defined(__SSE2__)
    __m128i bits;
    std::memcpy(&bits, &mask, sizeof bits);
    return _mm_movemask_epi8(bits) != 0;
#else
    std::uint64_t words[2];
    std::memcpy(words, &mask, sizeof words);
    return (words[0] | words[1]) != 0;
#endif
  }

  alignas(16) epoch epochs_[max_threads] = {};
};

// What a thread knows, and hands on when it releases.
struct view {
  lanes happened{};  // what happens before: decides races
  // What coherence must respect: also what the total order of seq_cst fences adds.
  lanes coherent{};
  // The seq_cst accesses up to this one precede a fence that happens before.
  std::uint32_t fenced = 0;

  void join(const view& other) noexcept {
    happened.join(other.happened);
    coherent.join(other.coherent);
    if (other.fenced > fenced) fenced = other.fenced;
  }
};

}  // namespace heddle::inline HEDDLE_ABI::model::detail
