// Very many tasks that wait at the same time: what that costs on threads, and on coroutines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <heddle/prim/config.hpp>

namespace heddle::tool {

enum class waiter_kind : std::uint8_t { threads, coroutines };

// ThreadSanitizer has no room for so many threads.
inline constexpr std::size_t usual_waiters = HEDDLE_TSAN ? 1'000 : 10'000;

struct waiters_figures {
  std::size_t tasks = 0;        // that have run
  double seconds = 0;           // from the first one's start to the last one's end
  double cpu_seconds = 0;       // of the whole process
  std::uint64_t bytes = 0;      // that the process grew by until all of them waited
  std::uint64_t in_kernel = 0;  // that stacks in the kernel grew by meanwhile, on the whole machine
  std::string refused{};        // why there were no more; empty: there were as many as wanted
};

// What a task does, in a few words.
std::string_view describe_waiter() noexcept;

// Starts so many tasks, each of which waits ten times, and waits for their end. Requires: the
// process does nothing else. Throws std::bad_alloc, std::system_error.
waiters_figures run_waiters(waiter_kind kind, std::size_t tasks);

// A line of JSON, and back. from_json throws run_error.
std::string to_json(const waiters_figures& figures);
waiters_figures waiters_from_json(std::string_view text);

}  // namespace heddle::tool
