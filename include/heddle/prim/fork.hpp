// How often this process has been forked off.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// What a thread wants to be done in a child that it forks off, of which it is then the only thread.
// It is called once, for the hook that is in the thread's slot, and taken out there.
struct fork_hook {
  void (*in_child)(fork_hook*) noexcept;
};

#if HEDDLE_MODEL
inline unsigned fork_generation() noexcept { return 0; }
inline void watch_forks() {}
class no_fork {
 public:
  no_fork() {}
};
#else
namespace detail {
HEDDLE_API extern unsigned fork_generation;  // written in a child while it has one thread
}

// 0 at first; one more in each child than in its parent. What was made in another generation
// belongs to a process whose threads are not here.
inline unsigned fork_generation() noexcept { return detail::fork_generation; }

// From now on forks are counted. Throws std::bad_alloc.
HEDDLE_API void watch_forks();

// While one exists no other thread forks the process: for steps that a child must find done or not
// begun. Blocks for other threads' ones; a thread has one at a time and does not fork meanwhile.
// Requires: watch_forks() was called.
class HEDDLE_API no_fork {
 public:
  no_fork() noexcept;
  ~no_fork();
  no_fork(const no_fork&) = delete;
  no_fork& operator=(const no_fork&) = delete;
};
#endif

}  // namespace heddle::inline HEDDLE_ABI::prim
