#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

void set_thread_name(std::string_view name) noexcept {
  char text[16] = {};
  std::copy_n(name.data(), std::min(name.size(), sizeof text - 1), text);
  pthread_setname_np(pthread_self(), text);
}

int kernel_thread_id() noexcept { return static_cast<int>(syscall(SYS_gettid)); }

// Not inlined: code of another shared library, or a coroutine that moved to another thread, must
// ask anew instead of reusing an address it computed on the way.
[[gnu::noinline]] void*& thread_value(thread_slot slot) noexcept {
  constinit static thread_local void* values[static_cast<unsigned>(thread_slot::count)] = {};
  return values[static_cast<unsigned>(slot)];
}

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
