#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/per_thread.hpp>

#include <algorithm>
#include <array>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// The cores by their ids; null where an id is free. They follow the head in memory.
struct instances {
  std::size_t capacity;
  std::size_t living = 0;
  std::size_t lowest_free = 0;

  per_thread_core** cores() noexcept { return reinterpret_cast<per_thread_core**>(this + 1); }
};

// A head with so many elements behind it. Both are trivially destructible.
template <class Head, class Element>
std::size_t bytes_of(std::size_t elements) noexcept {
  return sizeof(Head) + elements * sizeof(Element);
}

struct alignas(destructive_interference) apart : prim::short_lock {};

}  // namespace

// Which instances there are. Everything that touches an instance and another thread's past goes
// through its lock: the birth and death of instances, and the end of threads. It is never
// destroyed, since threads use it during and after static destruction, and holds no memory while
// there are no instances. Whoever holds the lock may take one of `locks`.
struct per_thread_registry {
  prim::mutex mutex;
  prim::atomic<instances*> all{nullptr};  // changed and read under the mutex
  prim::atomic<std::uint64_t> last_serial{0};
  std::array<apart, 16> locks;

  void enlist(per_thread_core& core);
  void strike(const per_thread_core& core) noexcept;
  per_thread_slot* inherit(per_thread_core& core) noexcept;
  void leave_behind(const per_thread_table& table) noexcept;

 private:
  instances& with_room() HEDDLE_REQUIRES(mutex);
};

namespace {

constinit per_thread_registry registry;

void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  registry.mutex.lock();
  for (auto& lock : registry.locks) lock.lock();
}
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  for (auto& lock : registry.locks) lock.unlock();
  registry.mutex.unlock();
}

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork);

void*& current_table() noexcept { return prim::thread_value(prim::thread_slot::per_thread); }

void deallocate(per_thread_table* table) noexcept {
  prim::deallocate(table, bytes_of<per_thread_table, per_thread_entry>(table->size),
                   alignof(per_thread_table));
}

// Leaves the thread's slots to others when it ends.
struct end_of_table final : prim::thread_exit_hook {
  end_of_table() noexcept : prim::thread_exit_hook(&thread_ends) {}
  static void thread_ends(prim::thread_exit_hook* hook) noexcept {
    auto* const table = static_cast<per_thread_table*>(std::exchange(current_table(), nullptr));
    registry.leave_behind(*table);
    deallocate(table);
    delete static_cast<end_of_table*>(hook);
  }
};

per_thread_table* wider(const per_thread_table* old, std::size_t size) {
  const std::size_t bytes = bytes_of<per_thread_table, per_thread_entry>(size);
  auto* const table =
      ::new (prim::allocate(bytes, alignof(per_thread_table))) per_thread_table{size};
  const std::size_t known = old != nullptr ? old->size : 0;
  if (old != nullptr) std::uninitialized_copy_n(old->entries(), known, table->entries());
  std::uninitialized_value_construct_n(table->entries() + known, size - known);
  return table;
}

// Sees to it that the calling thread has a table with room for the id.
void make_table_for(std::size_t id) {
  auto* const old = static_cast<per_thread_table*>(current_table());
  if (old != nullptr && id < old->size) return;
  if (old != nullptr) {
    current_table() = wider(old, std::max(id + 1, 2 * old->size));
    deallocate(old);
    return;
  }
  auto hook = std::make_unique<end_of_table>();
  per_thread_table* const table = wider(nullptr, id + 1);
  try {
    prim::at_thread_exit(*hook);
  } catch (...) {
    deallocate(table);
    throw;
  }
  [[maybe_unused]] const auto* const ends_itself = hook.release();
  current_table() = table;
}

per_thread_entry& entry_of(std::size_t id) noexcept {
  return static_cast<per_thread_table*>(current_table())->entries()[id];
}

}  // namespace

instances& per_thread_registry::with_room() {
  instances* const old = all.load(prim::relaxed);
  if (old != nullptr && old->living < old->capacity) return *old;
  const std::size_t known = old != nullptr ? old->capacity : 0;
  const std::size_t capacity = std::max<std::size_t>(8, 2 * known);
  void* const memory =
      prim::allocate(bytes_of<instances, per_thread_core*>(capacity), alignof(instances));
  auto* const now = ::new (memory) instances{capacity, known, known};
  if (old != nullptr) {
    std::uninitialized_copy_n(old->cores(), known, now->cores());
    prim::deallocate(old, bytes_of<instances, per_thread_core*>(known), alignof(instances));
  }
  std::uninitialized_value_construct_n(now->cores() + known, capacity - known);
  all.store(now, prim::relaxed);
  return *now;
}

void per_thread_registry::enlist(per_thread_core& core) {
  const prim::scoped_lock lock(mutex);
  instances& now = with_room();
  std::size_t id = now.lowest_free;
  while (now.cores()[id] != nullptr) ++id;
  now.cores()[id] = &core;
  now.lowest_free = id + 1;
  ++now.living;
  core.id_ = id;
  core.serial_ = last_serial.fetch_add(1, prim::relaxed) + 1;
}

void per_thread_registry::strike(const per_thread_core& core) noexcept {
  const prim::scoped_lock lock(mutex);
  instances* const now = all.load(prim::relaxed);
  now->cores()[core.id_] = nullptr;
  now->lowest_free = std::min(now->lowest_free, core.id_);
  if (--now->living > 0) return;
  all.store(nullptr, prim::relaxed);
  prim::deallocate(now, bytes_of<instances, per_thread_core*>(now->capacity), alignof(instances));
}

per_thread_slot* per_thread_registry::inherit(per_thread_core& core) noexcept {
  const prim::scoped_lock lock(mutex);
  per_thread_slot* const slot = core.free_.get();
  if (slot != nullptr) {
    core.free_.set(slot->next_free.get());
    slot->next_free.set(nullptr);
  }
  return slot;
}

void per_thread_registry::leave_behind(const per_thread_table& table) noexcept {
  const prim::scoped_lock lock(mutex);
  instances* const now = all.load(prim::relaxed);
  if (now == nullptr) return;
  for (std::size_t id = 0; id < std::min(table.size, now->capacity); ++id) {
    const per_thread_entry& entry = table.entries()[id];
    per_thread_core* const core = now->cores()[id];
    if (core == nullptr || core->serial_ != entry.serial) continue;
    if (core->left_ != nullptr) core->left_(*entry.slot);
    entry.slot->next_free.set(core->free_.get());
    core->free_.set(entry.slot);
  }
}

per_thread_core::per_thread_core(end_of_thread left) : left_(left) { registry.enlist(*this); }
void per_thread_core::retire() noexcept { registry.strike(*this); }

void per_thread_core::lock() const noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  registry.locks[id_ % registry.locks.size()].lock();
}
void per_thread_core::unlock() const noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  registry.locks[id_ % registry.locks.size()].unlock();
}

per_thread_slot* per_thread_core::inherit() {
  make_table_for(id_);
  per_thread_slot* const slot = registry.inherit(*this);
  if (slot != nullptr) entry_of(id_) = {serial_, slot};
  return slot;
}

// While the value was made, other values may have been asked for: the table may have moved.
void per_thread_core::add(per_thread_slot& slot) noexcept {
  entry_of(id_) = {serial_, &slot};
  per_thread_slot* newest = slots_.load(prim::relaxed);
  do {
    slot.next.set(newest);
  } while (!slots_.compare_exchange_weak(newest, &slot, prim::release, prim::relaxed));
}

}  // namespace heddle::inline HEDDLE_ABI::detail
