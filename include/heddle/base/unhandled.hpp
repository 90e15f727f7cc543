// Where exceptions go that nobody can catch any more.
#pragma once

#include <cstdint>
#include <exception>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

using unhandled_handler = void (*)(std::exception_ptr) noexcept;

// Sets the process-wide handler for exceptions of fire-and-forget work, and of futures whose last
// owner died without reading them. Null restores the first one, which writes a line to stderr.
// Returns the handler before. `cancelled` is no failure and never gets here.
//
// Thread-safety: any thread. The handler is called on the thread that gave the exception up, which
// may be a worker in the middle of a task, so it should be brief; concurrently, when several do.
HEDDLE_API unhandled_handler set_unhandled_handler(unhandled_handler handler) noexcept;

// Exceptions given to the handler since the process began.
HEDDLE_API std::uint64_t unhandled_count() noexcept;

// Counts the exception and gives it to the handler; does neither for `cancelled`.
HEDDLE_API void report_unhandled(std::exception_ptr e) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
