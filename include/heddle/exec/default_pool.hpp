// The pool of the process, for those who need none of their own.
#pragma once

#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Built at the first call, with as many workers as there are cores for this process. When the
// process ends (std::exit, or the return of main) it drains and its threads end, before the
// destructors of static objects that were constructed before that first call; the object itself
// stays, so that those destructors may still call it: what they submit is rejected. (Where a task
// of the pool itself calls std::exit, the pool ends with that task, and goes on until then.)
//
// Thread-safety: any thread. After fork the child has one with workers of its own, from its first
// use on.
// Throws what the constructor of thread_pool throws; a later call tries again, without the options
// below.
HEDDLE_API thread_pool& default_pool();

// What default_pool() is to be built with. Throws std::logic_error when it has been built.
HEDDLE_API void set_default_pool_options(thread_pool_options options);

}  // namespace heddle::inline HEDDLE_ABI
