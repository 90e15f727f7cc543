#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <heddle/prim/fork.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>

#include <mutex>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {
constinit unsigned fork_generation = 0;
}

namespace {
constinit std::mutex forking;
}

no_fork::no_fork() noexcept { forking.lock(); }
no_fork::~no_fork() { forking.unlock(); }

void watch_forks() {
  struct handlers {
    handlers() { at_fork(&before, &in_parent, &in_child); }
    static void before() { forking.lock(); }
    static void in_parent() { forking.unlock(); }
    // The one thread of the child may have been a worker: it is nobody's any more.
    static void in_child() {
      forking.unlock();
      ++detail::fork_generation;
      thread_value(thread_slot::worker) = nullptr;
      thread_value(thread_slot::blocking_delegate) = nullptr;
      thread_value(thread_slot::task_name) = nullptr;
    }
  };
  static const handlers once;
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
