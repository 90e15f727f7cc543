// What the calling thread is to a pool.
#pragma once

#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

class thread_pool;

namespace detail {

// The only worker never has others beside it but those that stand in for it while it blocks.
enum class standing : std::uint8_t { outside, worker, only_worker };

// In that pool, or, without one, in whichever it runs a task of.
HEDDLE_API standing standing_in(thread_pool* pool) noexcept;

}  // namespace detail
}  // namespace heddle::inline HEDDLE_ABI
