#include <heddle/prim/allocation.hpp>
#include <heddle/prim/cells.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

void* allocate_cell(std::size_t bytes, std::size_t alignment) { return allocate(bytes, alignment); }

void deallocate_cell(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  deallocate(memory, bytes, alignment);
}

}  // namespace heddle::inline HEDDLE_ABI::prim
