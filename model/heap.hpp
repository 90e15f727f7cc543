// Memory of the body: freed memory stays until the execution ends.
#pragma once

#include <cstddef>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

// In front of each block of prim::allocate.
struct block_header {
  block_header* older;
  std::size_t bytes;
  std::size_t alignment;
  bool freed;
};

// The size of a block that was not freed; 0: there is none.
std::size_t first_leaked_block(const block_header* newest) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::model::detail
