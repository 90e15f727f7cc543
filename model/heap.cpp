// Memory of the body. What it frees stays until the execution ends: a late access finds the
// destroyed object, and not a new one in its place.

#include "heap.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#include <heddle/prim/allocation.hpp>

#include "engine.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace model::detail {
namespace {

constexpr std::size_t room_for_header(std::size_t alignment) noexcept {
  return std::max({alignment, sizeof(block_header), alignof(std::max_align_t)});
}

block_header* header_of(void* memory) noexcept {
  return reinterpret_cast<block_header*>(static_cast<std::byte*>(memory) - sizeof(block_header));
}

}  // namespace

std::size_t first_leaked_block(const block_header* newest) noexcept {
  std::size_t oldest = 0;
  for (const block_header* b = newest; b != nullptr; b = b->older) {
    if (!b->freed) oldest = std::max<std::size_t>(b->bytes, 1);
  }
  return oldest;
}

// Memory that the body frees by operator delete.
void free_at_end(void* memory) noexcept {
  executing = false;
  current->keep_until_end(memory);
  executing = true;
}

}  // namespace model::detail

namespace prim {

void* allocate(std::size_t bytes, std::size_t alignment) {
  using namespace model::detail;
  if (executing) {
    engine& e = *current;
    if (e.happens(choice_kind::failure, e.left.allocation_failures)) {
      if (e.logging) e.log("is refused " + std::to_string(bytes) + " bytes");
      throw std::bad_alloc();
    }
  }
  const std::size_t room = room_for_header(alignment);
  const std::size_t whole = (room + bytes + room - 1) / room * room;
  void* const memory = std::aligned_alloc(room, whole);
  if (memory == nullptr) throw std::bad_alloc();
  void* const given = static_cast<std::byte*>(memory) + room;
  block_header* const header = header_of(given);
  *header = {nullptr, bytes, alignment, false};
  if (executing) {
    header->older = current->blocks;
    current->blocks = header;
  }
  return given;
}

void deallocate(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  using namespace model::detail;
  block_header* const header = header_of(memory);
  void* const whole = static_cast<std::byte*>(memory) - room_for_header(header->alignment);
  if (!executing) {
    std::free(whole);
    return;
  }
  if (header->freed) current->fail("a block of memory is deallocated twice");
  if (header->bytes != bytes || header->alignment != alignment) {
    current->fail("a block of " + std::to_string(header->bytes) + " bytes is deallocated as " +
                  std::to_string(bytes) + " bytes");
  }
  header->freed = true;
  current->destroy_all_within(memory, bytes);
  free_at_end(whole);
}

}  // namespace prim
}  // namespace heddle::inline HEDDLE_ABI

// Replaced for the whole program, which exists to be checked. Outside of executions they do what
// the standard ones do.

namespace {

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  if (heddle::HEDDLE_ABI::model::detail::executing) {
    heddle::HEDDLE_ABI::model::detail::free_at_end(memory);
  } else {
    std::free(memory);
  }
}

}  // namespace

void* operator new(std::size_t bytes) {
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto a = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(a, (std::max(bytes, a) + a - 1) / a * a)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
