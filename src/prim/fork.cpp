#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <heddle/prim/fork.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>

#include <mutex>
#include <utility>

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
      void* const hook = std::exchange(thread_value(thread_slot::fork_hook), nullptr);
      if (hook != nullptr) static_cast<fork_hook*>(hook)->in_child(static_cast<fork_hook*>(hook));
      thread_value(thread_slot::worker) = nullptr;
      thread_value(thread_slot::blocking_delegate) = nullptr;
      thread_value(thread_slot::task_name) = nullptr;
      thread_value(thread_slot::trampoline) = nullptr;
      thread_value(thread_slot::discarding) = nullptr;
      thread_value(thread_slot::caller_of) = nullptr;
    }
  };
  static const handlers once;
}

namespace {
// Early, while nobody forks: a child would wait for ever for an initialization that was under way.
[[maybe_unused]] const bool watched = (watch_forks(), true);
}  // namespace

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
