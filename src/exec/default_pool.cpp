#include <heddle/exec/default_pool.hpp>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include <heddle/base/unhandled.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/fork.hpp>

namespace heddle::inline HEDDLE_ABI {

void detail::end_of_process(thread_pool& pool) {
  if (!pool.pool_.unused_after_fork()) pool.shutdown();
}

namespace {

// Room for objects that are never destroyed.
template <class T>
union kept {
  constexpr kept() noexcept : nothing() {}
  ~kept() {}
  std::byte nothing;
  T value;
};

constinit prim::atomic<thread_pool*> built{nullptr};
constinit kept<thread_pool> pool;
constinit kept<thread_pool_options> options;
constinit bool options_were_made = false;
constinit bool options_given = false;  // these change while nobody forks: a child finds them whole

void stop_at_exit() {
  try {
    detail::end_of_process(*built.load(prim::acquire));
  } catch (...) {
    report_unhandled(std::current_exception());
  }
}

}  // namespace

thread_pool& default_pool() {
  if (thread_pool* const made = built.load(prim::acquire)) return *made;
  prim::watch_forks();
  const prim::no_fork steady;
  if (thread_pool* const made = built.load(prim::acquire)) return *made;
  thread_pool_options wanted;
  wanted.name = "default";
  if (std::exchange(options_given, false)) wanted = std::move(options.value);
  ::new (static_cast<void*>(&pool.value)) thread_pool(std::move(wanted));
  built.store(&pool.value, prim::release);
  std::atexit(&stop_at_exit);
  return pool.value;
}

void set_default_pool_options(thread_pool_options given) {
  prim::watch_forks();
  const prim::no_fork steady;
  if (built.load(prim::acquire) != nullptr) {
    throw std::logic_error("set_default_pool_options: the default pool has been built");
  }
  if (options_were_made) {
    options.value = std::move(given);
  } else {
    ::new (static_cast<void*>(&options.value)) thread_pool_options(std::move(given));
    options_were_made = true;
  }
  options_given = true;
}

}  // namespace heddle::inline HEDDLE_ABI
