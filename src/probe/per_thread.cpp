#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/per_thread.hpp>

#include <algorithm>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// A growing array that is never freed: threads use it during and after static destruction.
template <class E>
E* grown(E* old, std::size_t size, std::size_t capacity) {
  auto* const wider = static_cast<E*>(prim::allocate(capacity * sizeof(E), alignof(E)));
  std::uninitialized_copy_n(old, size, wider);
  std::uninitialized_fill_n(wider + size, capacity - size, E{});
  if (old != nullptr) prim::deallocate(old, size * sizeof(E), alignof(E));
  return wider;
}

}  // namespace

// Which instances there are. Everything that touches an instance and another thread's past goes
// through its lock: the birth and death of instances, and the end of threads.
struct per_thread_registry {
  prim::mutex mutex;
  per_thread_core** cores HEDDLE_GUARDED_BY(mutex) = nullptr;  // null where an id is free
  std::size_t capacity HEDDLE_GUARDED_BY(mutex) = 0;
  std::uint64_t last_serial HEDDLE_GUARDED_BY(mutex) = 0;

  void enlist(per_thread_core& core);
  void strike(const per_thread_core& core) noexcept;
  per_thread_slot* inherit(per_thread_core& core) noexcept;
  void leave_behind(const per_thread_table& table) noexcept;
};

namespace {

constinit per_thread_registry registry;

void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.lock(); }
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.unlock(); }

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork);

// A thread's table, which leaves the slots to others when the thread ends.
struct owned_table final : per_thread_table, prim::thread_exit_hook {
  owned_table() noexcept : prim::thread_exit_hook(&thread_ends) {}
  ~owned_table() {
    if (entries != nullptr) {
      prim::deallocate(entries, size * sizeof(per_thread_entry), alignof(per_thread_entry));
    }
  }
  static void thread_ends(prim::thread_exit_hook* hook) noexcept {
    auto* const self = static_cast<owned_table*>(hook);
    prim::thread_value(prim::thread_slot::per_thread) = nullptr;
    registry.leave_behind(*self);
    delete self;
  }
};

owned_table* current_table() noexcept {
  return static_cast<owned_table*>(
      static_cast<per_thread_table*>(prim::thread_value(prim::thread_slot::per_thread)));
}

// The calling thread's table, with room for the id.
owned_table& table_with(std::size_t id) {
  owned_table* table = current_table();
  if (table == nullptr) {
    auto made = std::make_unique<owned_table>();
    prim::at_thread_exit(*made);
    table = made.release();
    prim::thread_value(prim::thread_slot::per_thread) = static_cast<per_thread_table*>(table);
  }
  if (id >= table->size) {
    const std::size_t wider = std::max(id + 1, 2 * table->size);
    table->entries = grown(table->entries, table->size, wider);
    table->size = wider;
  }
  return *table;
}

}  // namespace

void per_thread_registry::enlist(per_thread_core& core) {
  const prim::scoped_lock lock(mutex);
  std::size_t id = 0;
  while (id < capacity && cores[id] != nullptr) ++id;
  if (id == capacity) {
    const std::size_t wider = std::max<std::size_t>(8, 2 * capacity);
    cores = grown(cores, capacity, wider);
    capacity = wider;
  }
  cores[id] = &core;
  core.id_ = id;
  core.serial_ = ++last_serial;
}

void per_thread_registry::strike(const per_thread_core& core) noexcept {
  const prim::scoped_lock lock(mutex);
  cores[core.id_] = nullptr;
}

per_thread_slot* per_thread_registry::inherit(per_thread_core& core) noexcept {
  const prim::scoped_lock lock(mutex);
  per_thread_slot* const slot = core.free_;
  if (slot != nullptr) core.free_ = std::exchange(slot->next_free, nullptr);
  return slot;
}

void per_thread_registry::leave_behind(const per_thread_table& table) noexcept {
  const prim::scoped_lock lock(mutex);
  for (std::size_t id = 0; id < std::min(table.size, capacity); ++id) {
    const per_thread_entry& entry = table.entries[id];
    per_thread_core* const core = cores[id];
    if (core == nullptr || core->serial_ != entry.serial) continue;
    entry.slot->next_free = std::exchange(core->free_, entry.slot);
  }
}

per_thread_core::per_thread_core() { registry.enlist(*this); }
void per_thread_core::retire() noexcept { registry.strike(*this); }

per_thread_slot* per_thread_core::inherit() {
  owned_table& table = table_with(id_);
  per_thread_slot* const slot = registry.inherit(*this);
  if (slot != nullptr) table.entries[id_] = {serial_, slot};
  return slot;
}

void per_thread_core::add(per_thread_slot& slot) noexcept {
  current_table()->entries[id_] = {serial_, &slot};
  slot.next = slots_.load(prim::relaxed);
  while (!slots_.compare_exchange_weak(slot.next, &slot, prim::release, prim::relaxed)) {
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
