#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/probe/names.hpp>

#include <memory>
#include <utility>

namespace heddle::inline HEDDLE_ABI {
namespace {

// A named thread. It alone writes its name, under the registry's lock, and may read it without.
struct entry final : prim::thread_exit_hook {
  entry() noexcept
      : prim::thread_exit_hook(&thread_ends), kernel_thread_id(prim::kernel_thread_id()) {}
  static void thread_ends(prim::thread_exit_hook* hook) noexcept;

  int kernel_thread_id;
  const std::uint32_t number = prim::thread_number();
  std::string name;
  entry* before = nullptr;
  entry* after = nullptr;
};

// Trivially destructible, so that it serves threads that outlive static destruction.
struct name_registry {
  prim::mutex mutex;
  entry* oldest HEDDLE_GUARDED_BY(mutex) = nullptr;
  entry* newest HEDDLE_GUARDED_BY(mutex) = nullptr;

  void append(entry& e) noexcept HEDDLE_REQUIRES(mutex) {
    e.before = newest;
    (newest != nullptr ? newest->after : oldest) = &e;
    newest = &e;
  }
  void unlink(entry& e) noexcept HEDDLE_REQUIRES(mutex) {
    (e.before != nullptr ? e.before->after : oldest) = e.after;
    (e.after != nullptr ? e.after->before : newest) = e.before;
  }
};

constinit name_registry registry;

entry* own_entry() noexcept {
  return static_cast<entry*>(prim::thread_value(prim::thread_slot::name));
}

void entry::thread_ends(prim::thread_exit_hook* hook) noexcept {
  const std::unique_ptr<entry> self(static_cast<entry*>(hook));
  prim::thread_value(prim::thread_slot::name) = nullptr;
  const prim::scoped_lock lock(registry.mutex);
  registry.unlink(*self);
}

void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.lock(); }
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.unlock(); }

// The child has one thread, with a number of its own.
void after_fork_in_child() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  entry* const own = own_entry();
  for (entry* e = registry.oldest; e != nullptr;) {
    entry* const next = e->after;
    if (e != own) {
      registry.unlink(*e);
      delete e;
    }
    e = next;
  }
  if (own != nullptr) own->kernel_thread_id = prim::kernel_thread_id();
  registry.mutex.unlock();
}

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork_in_child);

}  // namespace

void set_current_thread_name(std::string_view name) {
  std::string copy(name);
  entry* own = own_entry();
  if (own == nullptr) {
    auto made = std::make_unique<entry>();
    prim::at_thread_exit(*made);
    own = made.release();
    prim::thread_value(prim::thread_slot::name) = own;
    own->name = std::move(copy);
    const prim::scoped_lock lock(registry.mutex);
    registry.append(*own);
  } else {
    const prim::scoped_lock lock(registry.mutex);
    own->name.swap(copy);
  }
  prim::set_thread_name(name);
}

std::string_view current_thread_name() noexcept {
  const entry* const own = own_entry();
  return own == nullptr ? std::string_view() : std::string_view(own->name);
}

std::vector<thread_name> thread_names() {
  std::vector<thread_name> names;
  const prim::scoped_lock lock(registry.mutex);
  for (const entry* e = registry.oldest; e != nullptr; e = e->after) {
    names.push_back({e->kernel_thread_id, e->name, e->number});
  }
  return names;
}

}  // namespace heddle::inline HEDDLE_ABI
