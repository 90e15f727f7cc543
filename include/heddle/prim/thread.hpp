// The seam's threads.
#pragma once

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/thread.hpp>
#else

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thread>

namespace heddle::inline HEDDLE_ABI::prim {

using thread = std::thread;
using thread_id = std::thread::id;

inline thread_id this_thread_id() noexcept { return std::this_thread::get_id(); }

// Lets another runnable thread go first, where there is one.
inline void yield() noexcept { std::this_thread::yield(); }

// Sleeps for some 50 microseconds.
HEDDLE_API void nap() noexcept;

// One turn of a spin loop.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Names the calling thread for the kernel, /proc and debuggers, which keep the first 15 bytes.
HEDDLE_API void set_thread_name(std::string_view name) noexcept;

// The kernel's number of the calling thread.
HEDDLE_API int kernel_thread_id() noexcept;

// The calling thread's stack: the lowest address of it that may be used, and its size in bytes.
// Zeros when they cannot be told.
struct stack_bounds {
  std::uintptr_t end = 0;
  std::size_t size = 0;
};
HEDDLE_API stack_bounds bounds_of_stack() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
