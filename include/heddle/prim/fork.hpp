// How the library's state survives a fork, and how often this process has been forked off.
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
struct fork_part {
  using step = void (*)();
  constexpr fork_part(step, step, step) noexcept {}
};
#else
namespace detail {
HEDDLE_API extern unsigned fork_generation;  // written in a child while it has one thread
}

// 0 at first; one more in each child than in its parent. What was made in another generation
// belongs to a process whose threads are not here.
inline unsigned fork_generation() noexcept { return detail::fork_generation; }

// Takes part in each fork of the process from its construction on: the forking thread calls
// `before`, then `in_parent` and `in_child`; each may be null. Wherever a thread may hold a lock
// that a child needs, that lock's file has one at namespace scope. Made at the first use it would
// come too late: a fork that is under way does not call it, and may find that first use's lock
// held.
//
// The steps of several have no order, so none may take a lock that another holds. They come while
// no no_fork exists.
class HEDDLE_API fork_part {
 public:
  using step = void (*)();

  fork_part(step before, step in_parent, step in_child);  // throws std::bad_alloc
  fork_part(const fork_part&) = delete;
  fork_part& operator=(const fork_part&) = delete;

 private:
  friend void watch_forks();

  const step before_;
  const step in_parent_;
  const step in_child_;
  fork_part* next_ = nullptr;
};

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
