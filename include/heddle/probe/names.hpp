// What the threads of the process are called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Names the calling thread: the whole name here, its first 15 bytes for the kernel, and so for ps,
// top and debuggers.
//
// Blocks? Only for a lock held for the length of a few instructions, or of a copy of the names.
// Allocates. Throws std::bad_alloc, and std::system_error as prim::at_thread_exit does; then the
// name is the one before.
HEDDLE_API void set_current_thread_name(std::string_view name);

// The calling thread's name, empty when it has none. Good until the thread is renamed or ends.
HEDDLE_API std::string_view current_thread_name() noexcept;

struct thread_name {
  int kernel_thread_id;
  std::string name;
  std::uint32_t number;  // prim::thread_number
};

// The living threads that have a name, in the order in which they got their first one.
//
// Thread-safety: any thread, at any time, also while threads come and go and during static
// destruction. A thread that is just ending may still be among them.
// Allocates. Throws std::bad_alloc. After fork the child sees itself alone.
HEDDLE_API std::vector<thread_name> thread_names();

}  // namespace heddle::inline HEDDLE_ABI
