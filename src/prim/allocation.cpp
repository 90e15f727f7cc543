#include <heddle/prim/allocation.hpp>

#if !HEDDLE_MODEL

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

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
