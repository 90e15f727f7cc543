#include <heddle/prim/seed.hpp>

#if !HEDDLE_MODEL

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

std::uint64_t next_seed() noexcept {
  static constinit atomic<std::uint64_t> calls{0};
  const auto time = static_cast<std::uint64_t>(clock::now().time_since_epoch().count());
  // The finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
  // generators", 2014) spreads neighbouring inputs.
  std::uint64_t z = time + calls.fetch_add(0x9E3779B97F4A7C15ULL, relaxed);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::uint32_t thread_number() noexcept {
  static constinit atomic<std::uint32_t> next{1};
  void*& mine = thread_value(thread_slot::number);
  if (mine == nullptr) {
    mine = reinterpret_cast<void*>(std::uintptr_t{next.fetch_add(1, relaxed)});
  }
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(mine));
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
