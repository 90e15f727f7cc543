#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <system_error>

#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

void set_thread_name(std::string_view name) noexcept {
  char text[16] = {};
  std::copy_n(name.data(), std::min(name.size(), sizeof text - 1), text);
  pthread_setname_np(pthread_self(), text);
}

int kernel_thread_id() noexcept { return static_cast<int>(syscall(SYS_gettid)); }

stack_bounds bounds_of_stack() noexcept {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {};
  void* lowest = nullptr;
  std::size_t size = 0;
  const bool known = pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  pthread_attr_destroy(&attributes);
  if (!known) return {};
  return {reinterpret_cast<std::uintptr_t>(lowest), size};
}

void nap() noexcept {
  constexpr timespec time{.tv_sec = 0, .tv_nsec = 50'000};
  nanosleep(&time, nullptr);
}

namespace detail {
constinit thread_local void* thread_table[static_cast<unsigned>(thread_slot::count)] = {};
}

// Not inlined: code of another shared library, or a coroutine that moved to another thread, must
// ask anew instead of reusing an address it computed on the way.
[[gnu::noinline]] void*& thread_value(thread_slot slot) noexcept {
  return detail::thread_table[static_cast<unsigned>(slot)];
}
[[gnu::noinline]] void** thread_values() noexcept { return detail::thread_table; }

namespace {

// The key's value is the thread's newest hook. The C library calls a key's destructor after the
// thread_local objects are destroyed, which a thread_local of ours could not promise.
pthread_key_t exit_key() {
  struct owner {
    owner() {
      const int failure = pthread_key_create(&key, &run_hooks);
      if (failure != 0) {
        throw std::system_error(failure, std::generic_category(), "pthread_key_create");
      }
    }
    static void run_hooks(void* newest) noexcept {
      const pthread_key_t key = exit_key();
      while (newest != nullptr) {
        auto* const hook = static_cast<thread_exit_hook*>(newest);
        pthread_setspecific(key, hook->next);  // cannot fail: the thread has the key's storage
        hook->run(hook);
        newest = pthread_getspecific(key);
      }
    }
    pthread_key_t key{};
  };
  static const owner the_key;  // never deleted: threads may outlive static destruction
  return the_key.key;
}

}  // namespace

void at_thread_exit(thread_exit_hook& hook) {
  const pthread_key_t key = exit_key();
  hook.next = static_cast<thread_exit_hook*>(pthread_getspecific(key));
  const int failure = pthread_setspecific(key, &hook);
  if (failure != 0) {
    throw std::system_error(failure, std::generic_category(), "pthread_setspecific");
  }
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
