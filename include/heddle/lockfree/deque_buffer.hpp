// The slots of a work-stealing deque.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A power of two of slots, behind a header, in one allocation. A position in the deque is a number
// that goes on counting; it finds its slot by its lowest bits.
template <class T>
class deque_buffer {
  static_assert(std::is_trivially_copyable_v<T>, "values are copied while others may write");

 public:
  using slot_type = prim::atomic<T>;

  // What a deque makes of the capacity that it is asked for. Throws std::invalid_argument.
  static std::size_t rounded(std::size_t capacity, const char* whose) {
    constexpr std::size_t most = std::size_t{1} << 40;
    if (capacity == 0) throw std::invalid_argument(std::string(whose) + ": capacity 0");
    if (capacity > most) throw std::invalid_argument(std::string(whose) + ": capacity beyond 2^40");
    return std::bit_ceil(capacity);
  }

  // Throws std::bad_alloc. Requires a power of two.
  static deque_buffer* make(std::size_t capacity) { return make(capacity, nullptr); }

  // One of twice the size with the same values from `top` to `bottom - 1`. It keeps the old one.
  deque_buffer* grown(std::int64_t top, std::int64_t bottom) {
    deque_buffer* const wider = make(static_cast<std::size_t>(capacity()) * 2, this);
    for (std::int64_t i = top; i < bottom; ++i) {
      wider->slot(i).store(slot(i).load(prim::relaxed), prim::relaxed);
    }
    return wider;
  }

  // With all that it has outgrown.
  static void destroy_all(deque_buffer* newest) noexcept {
    while (newest != nullptr) {
      deque_buffer* const older = newest->older_;
      const auto capacity = static_cast<std::size_t>(newest->capacity());
      std::destroy_n(newest->slots(), capacity);
      newest->~deque_buffer();
      prim::deallocate(newest, bytes(capacity), alignment);
      newest = older;
    }
  }

  std::int64_t capacity() const noexcept { return mask_ + 1; }
  slot_type& slot(std::int64_t position) noexcept { return slots()[position & mask_]; }

 private:
  static constexpr std::size_t alignment = alignof(slot_type) > cache_line ? alignof(slot_type)
                                                                           : cache_line;
  static constexpr std::size_t slots_at = alignment;  // behind the header, aligned

  deque_buffer(std::size_t capacity, deque_buffer* older) noexcept
      : mask_(static_cast<std::int64_t>(capacity) - 1), older_(older) {}
  ~deque_buffer() = default;

  static std::size_t bytes(std::size_t capacity) noexcept {
    return slots_at + capacity * sizeof(slot_type);
  }

  static deque_buffer* make(std::size_t capacity, deque_buffer* older) {
    static_assert(sizeof(deque_buffer) <= slots_at);
    void* const memory = prim::allocate(bytes(capacity), alignment);
    auto* const b = ::new (memory) deque_buffer(capacity, older);
    std::uninitialized_default_construct_n(b->slots(), capacity);
    return b;
  }

  slot_type* slots() noexcept {
    return reinterpret_cast<slot_type*>(reinterpret_cast<std::byte*>(this) + slots_at);
  }

  const std::int64_t mask_;
  deque_buffer* const older_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
