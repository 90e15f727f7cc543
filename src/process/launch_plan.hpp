// What the parent prepares for a child between clone and exec, and what it hears back.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// Where a start can fail.
enum class launch_step { none, group, descriptors, directory, limit, exec };

// Lives in the parent's memory, which the child shares while the parent's thread waits. Pointers
// and numbers only: the child may call nothing that allocates or locks.
struct launch_plan {
  // Files to try, in order, beginning with paths[hint] when hint < path_count.
  const char* const* paths = nullptr;
  std::size_t path_count = 0;
  std::size_t hint = 0;
  // argv[-1] exists and is "/bin/sh", for a script without an interpreter line.
  char** argv = nullptr;
  char* const* environment = nullptr;
  const char* directory = nullptr;  // nullptr = the parent's
  int standard[3] = {-1, -1, -1};   // -1 = as it is in the parent
  // Others that stay open, in rising order, each once.
  const int* kept = nullptr;
  std::size_t kept_count = 0;
  bool own_group = true;
  bool limits_descriptors = false;
  std::uint64_t descriptor_limit = 0;  // the soft one

  // Written by the child.
  launch_step failed = launch_step::none;
  int error = 0;
  std::size_t used = 0;  // index of the path that was executed last
};

// The child's side: everything from the new process's first instruction to exec. Takes a
// launch_plan. Never returns.
int run_launch_plan(void* plan) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::process
