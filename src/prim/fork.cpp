#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <heddle/prim/fork.hpp>
#include <heddle/prim/thread_local.hpp>

#include <atomic>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {
constinit unsigned fork_generation = 0;
}

namespace {
constinit std::mutex forking;
constinit std::atomic<fork_part*> parts{nullptr};
constinit fork_part* taking_part = nullptr;  // in the fork that is under way
}  // namespace

fork_part::fork_part(step before, step in_parent, step in_child)
    : before_(before), in_parent_(in_parent), in_child_(in_child) {
  watch_forks();
  next_ = parts.load(std::memory_order_relaxed);
  while (!parts.compare_exchange_weak(next_, this, std::memory_order_release,
                                      std::memory_order_relaxed)) {
  }
}

no_fork::no_fork() noexcept { forking.lock(); }
no_fork::~no_fork() { forking.unlock(); }

void watch_forks() {
  struct handlers {
    handlers() {
      if (pthread_atfork(&before, &in_parent, &in_child) != 0) throw std::bad_alloc();
    }
    static void take(const fork_part::step fork_part::* step) {
      for (const fork_part* p = taking_part; p != nullptr; p = p->next_) {
        if (p->*step != nullptr) (p->*step)();
      }
    }
    static void before() {
      forking.lock();
      taking_part = parts.load(std::memory_order_acquire);
      take(&fork_part::before_);
    }
    static void in_parent() {
      take(&fork_part::in_parent_);
      forking.unlock();
    }
    // The one thread of the child may have been a worker: it is nobody's any more.
    static void in_child() {
      take(&fork_part::in_child_);
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
      thread_value(thread_slot::fork_lane) = nullptr;
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
