#include <heddle/prim/allocation.hpp>

#if !HEDDLE_MODEL

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/seed.hpp>
#include <new>

namespace heddle::inline HEDDLE_ABI::prim {

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return ::operator new(bytes);
  return ::operator new(bytes, std::align_val_t{alignment});
}

void deallocate(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
    ::operator delete(memory, bytes);
  } else {
    ::operator delete(memory, bytes, std::align_val_t{alignment});
  }
}

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

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
