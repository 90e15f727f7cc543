// A value for each thread that others can visit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The head of one thread's value.
struct per_thread_slot {
  per_thread_slot* next = nullptr;  // of all slots; fixed once others can see the slot
  per_thread_slot* next_free =
      nullptr;  // of those whose thread has ended; under the registry's lock
};

// What a thread knows of an instance: its slot there, good as long as the serial number matches.
struct per_thread_entry {
  std::uint64_t serial;
  per_thread_slot* slot;
};

// A thread's entries, indexed by the instances' ids.
struct per_thread_table {
  std::size_t size = 0;
  per_thread_entry* entries = nullptr;
};

// What does not depend on the type. An instance has a small id, which a later instance reuses, and
// a serial number, which nobody ever reuses.
class HEDDLE_API per_thread_core {
 public:
  per_thread_core();
  ~per_thread_core() = default;
  per_thread_core(const per_thread_core&) = delete;
  per_thread_core& operator=(const per_thread_core&) = delete;

  // The calling thread's slot, or null.
  per_thread_slot* find() const noexcept {
    const auto* const table =
        static_cast<const per_thread_table*>(prim::thread_value(prim::thread_slot::per_thread));
    if (table == nullptr || id_ >= table->size) return nullptr;
    const per_thread_entry& entry = table->entries[id_];
    return entry.serial == serial_ ? entry.slot : nullptr;
  }

  // Gives the calling thread, which has none, a slot that an ended thread left, or null. Afterwards
  // add() does not fail.
  per_thread_slot* inherit();
  // Gives it a new one.
  void add(per_thread_slot& slot) noexcept;

  per_thread_slot* first() const noexcept { return slots_.load(prim::acquire); }

  // Called once, before the slots are destroyed: threads that end leave them alone from now on.
  void retire() noexcept;

 private:
  friend struct per_thread_registry;

  prim::atomic<per_thread_slot*> slots_{nullptr};
  per_thread_slot* free_ = nullptr;  // under the registry's lock
  std::size_t id_;
  std::uint64_t serial_;
};

}  // namespace detail

// A T for each thread that asks for one. Unlike a thread_local it belongs to an object, there may
// be any number of them, and one thread can visit the values of all.
//
// A value outlives its thread: it stays, with what it holds, is visited as before, and is given to
// a thread that asks later. So sums over all threads never shrink, and there are no more values
// than there were threads at one time.
//
// Thread-safety: every function from any thread, also while threads end, and in the destructors of
// their thread_local objects. A visit runs beside the threads that use their values: T synchronizes
// itself (an owned_counter, say, which its thread counts and visitors read).
// Memory ordering: a visit sees a value at least as it was constructed; a thread that is given a
// value sees everything that the thread before did with it.
// Blocks? local() and visits do not, but for a short lock at a thread's first use.
// Complexity: local() is two loads and two comparisons after the first use.
// Destruction: no thread is inside a call, or uses a value. At any other time, on any thread.
// After fork the child visits the values of threads it does not have; nobody is given those.
template <class T>
class per_thread {
 public:
  // Throws std::bad_alloc.
  per_thread() = default;
  ~per_thread() {
    core_.retire();
    for (detail::per_thread_slot* s = core_.first(); s != nullptr;) {
      detail::per_thread_slot* const next = s->next;
      node* const n = static_cast<node*>(s);
      std::destroy_at(n);
      prim::deallocate(n, sizeof(node), alignof(node));
      s = next;
    }
  }
  per_thread(const per_thread&) = delete;
  per_thread& operator=(const per_thread&) = delete;

  // The calling thread's value, made by T() at its first use unless an ended thread left one.
  // Requires: T() does not itself ask for this value.
  // The reference is good until the thread ends or the per_thread is destroyed.
  // Allocates at the first use. Throws then: std::bad_alloc, std::system_error as at_thread_exit
  // does, and what T() throws; a later call tries again.
  T& local() {
    if (detail::per_thread_slot* const s = core_.find()) return static_cast<node*>(s)->value;
    return first_use();
  }

  // Calls f with each value, in no particular order. Values that appear meanwhile may be left out.
  template <class F>
  void for_each(F f) {
    for (auto* s = core_.first(); s != nullptr; s = s->next) f(static_cast<node*>(s)->value);
  }
  template <class F>
  void for_each(F f) const {
    for (const auto* s = core_.first(); s != nullptr; s = s->next) {
      f(static_cast<const node*>(s)->value);
    }
  }

  // f(... f(f(init, value), value) ..., value) over all values.
  template <class R, class F>
  R combine(R init, F f) const {
    for_each([&](const T& value) { init = f(std::move(init), value); });
    return init;
  }

 private:
  // Apart from each other, because their threads write them.
  struct alignas(destructive_interference) node : detail::per_thread_slot {
    T value{};
  };

  T& first_use() {
    if (detail::per_thread_slot* const s = core_.inherit()) return static_cast<node*>(s)->value;
    void* const memory = prim::allocate(sizeof(node), alignof(node));
    node* n = nullptr;
    try {
      n = ::new (memory) node;
    } catch (...) {
      prim::deallocate(memory, sizeof(node), alignof(node));
      throw;
    }
    core_.add(*n);
    return n->value;
  }

  detail::per_thread_core core_;
};

}  // namespace heddle::inline HEDDLE_ABI
