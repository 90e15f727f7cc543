// An array that grows and never moves. For the library's own use.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Pieces that double in size: element i lies in piece log2(i + first) - log2(first).
//
// One thread adds at a time; any number may look meanwhile at elements whose numbers they were
// given by release and acquire. Elements live as long as the array.
template <class T>
class growing_array {
  static constexpr unsigned first_log = HEDDLE_MODEL ? 1 : 6;
  static constexpr unsigned most_pieces = 32 - first_log;

 public:
  growing_array() = default;
  ~growing_array() {
    for (std::uint32_t i = 0; i < size_; ++i) std::destroy_at(&(*this)[i]);
    for (unsigned p = 0; p < most_pieces; ++p) {
      if (T* const piece = pieces_[p].load(prim::relaxed)) {
        prim::deallocate(piece, bytes_of(p), alignment);
      }
    }
  }
  growing_array(const growing_array&) = delete;
  growing_array& operator=(const growing_array&) = delete;

  [[gnu::always_inline]] T& operator[](std::uint32_t i) const noexcept {
    const std::uint32_t biased = i + (1U << first_log);
    const auto log = static_cast<unsigned>(std::bit_width(biased)) - 1;
    return pieces_[log - first_log].load(prim::acquire)[biased ^ (1U << log)];
  }

  // Makes sure that add() finds room. Throws std::bad_alloc, also after some four thousand million.
  void reserve_one() {
    const unsigned piece = piece_of(size_);
    if (piece >= most_pieces) throw std::bad_alloc();
    if (pieces_[piece].load(prim::relaxed) != nullptr) return;
    pieces_[piece].store(static_cast<T*>(prim::allocate(bytes_of(piece), alignment)),
                         prim::release);
  }
  // The number of a new T(). Requires: reserve_one() was called.
  std::uint32_t add() noexcept {
    ::new (static_cast<void*>(&(*this)[size_])) T;
    return size_++;
  }

 private:
  static constexpr std::size_t alignment = alignof(T) > cache_line ? alignof(T) : cache_line;

  static unsigned piece_of(std::uint32_t i) noexcept {
    const std::uint64_t biased = std::uint64_t{i} + (1U << first_log);
    return static_cast<unsigned>(std::bit_width(biased)) - 1 - first_log;
  }
  static std::size_t bytes_of(unsigned piece) noexcept {
    return (std::size_t{1} << (piece + first_log)) * sizeof(T);
  }

  std::uint32_t size_ = 0;
  prim::atomic<T*> pieces_[most_pieces] = {};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
