// A key or a value inside a cache. For the library's own use.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Whether others may copy a T while it is being changed, and find out afterwards.
template <class T>
inline constexpr bool copied_by_words = std::is_trivially_copyable_v<T> && sizeof(T) <= 64;

// A T in raw memory, constructed and destroyed by whoever owns the field. Nobody looks meanwhile.
template <class T, bool ByWords>
class cache_field {
 public:
  static constexpr bool changes_at_once = false;

  void construct(T&& value) { ::new (static_cast<void*>(bytes_)) T(std::move(value)); }
  void destroy() noexcept { std::destroy_at(&object()); }
  const T& get() const noexcept { return *std::launder(reinterpret_cast<const T*>(bytes_)); }

 private:
  T& object() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }

  alignas(T) std::byte bytes_[sizeof(T)];
};

// One of which others may take a copy while its owner gives it another value. The copy may be of no
// value at all, but whoever sees by a version that nothing has changed meanwhile may believe it:
// words are stored with release and loaded with acquire (Boehm, "Can seqlocks get along with
// programming language memory models?", 2012), so a copy that has a new word sees the new version.
template <class T>
class cache_field<T, true> {
  static constexpr std::size_t words = (sizeof(T) + 7) / 8;

 public:
  // Whoever reads it while it gets another value sees all of the old or all of the new one.
  static constexpr bool changes_at_once = words == 1;

  void construct(T&& value) noexcept {
    std::array<std::uint64_t, words> raw{};
    std::memcpy(raw.data(), static_cast<const void*>(&value), sizeof(T));
    for (std::size_t i = 0; i < words; ++i) words_[i].store(raw[i], prim::release);
  }
  void destroy() noexcept {}
  T get() const noexcept {
    std::array<std::uint64_t, words> raw;
    for (std::size_t i = 0; i < words; ++i) raw[i] = words_[i].load(prim::acquire);
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), raw.data(), sizeof(T));
    return std::bit_cast<T>(bytes);
  }

 private:
  std::array<prim::atomic<std::uint64_t>, words> words_{};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
