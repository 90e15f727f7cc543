// Sizes that a model wants small so that growth, wrap-around and overflow happen in few steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim::limits {

#if HEDDLE_MODEL
inline constexpr std::size_t deque_capacity = 2;
inline constexpr unsigned spin_turns = 1;
#else
inline constexpr std::size_t deque_capacity = 256;
inline constexpr unsigned spin_turns = 64;
#endif

}  // namespace heddle::inline HEDDLE_ABI::prim::limits
