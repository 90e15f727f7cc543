// A value for each thread that others can visit.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The head of one thread's value.
struct per_thread_slot {
  prim::cell<per_thread_slot*> next;       // of all slots; fixed once others can see the slot
  prim::cell<per_thread_slot*> next_free;  // of those whose thread has ended; registry's lock
};

// What a thread knows of an instance: its slot there, good as long as the serial number matches.
struct per_thread_entry {
  std::uint64_t serial = 0;
  per_thread_slot* slot = nullptr;
};

// The head of a thread's entries, which follow it in memory, indexed by the instances' ids.
struct alignas(per_thread_entry) per_thread_table {
  std::size_t size;

  per_thread_entry* entries() noexcept { return reinterpret_cast<per_thread_entry*>(this + 1); }
  const per_thread_entry* entries() const noexcept {
    return reinterpret_cast<const per_thread_entry*>(this + 1);
  }
};

// Of a callable that returns a T, which need not be movable then, or what a T is made from.
template <class Make, class T>
concept makes = std::invocable<Make&> && (std::same_as<std::invoke_result_t<Make&>, T> ||
                                          std::constructible_from<T, std::invoke_result_t<Make&>>);

// What does not depend on the type. An instance has a small id, which a later instance reuses, and
// a serial number, which nobody ever reuses.
class HEDDLE_API per_thread_core {
 public:
  using end_of_thread = void (*)(per_thread_slot&) noexcept;

  // `left`, unless it is null, is called for the slot of each thread that ends.
  explicit per_thread_core(end_of_thread left);
  ~per_thread_core() = default;
  per_thread_core(const per_thread_core&) = delete;
  per_thread_core& operator=(const per_thread_core&) = delete;

  // The calling thread's slot, or null.
  per_thread_slot* find() const noexcept {
    constexpr auto mine = static_cast<unsigned>(prim::thread_slot::per_thread);
    const auto* const table =
        static_cast<const per_thread_table*>(prim::running_thread_values()[mine]);
    if (table == nullptr || id_ >= table->size) [[unlikely]]
      return nullptr;
    const per_thread_entry& entry = table->entries()[id_];
    if (entry.serial != serial_) [[unlikely]]
      return nullptr;
    if (entry.slot == nullptr) __builtin_unreachable();  // spares callers the question
    return entry.slot;
  }

  // Gives the calling thread, which has none, a slot that an ended thread left, or null. Afterwards
  // add() does not fail.
  per_thread_slot* inherit();
  // Gives it a new one.
  void add(per_thread_slot& slot) noexcept;

  per_thread_slot* first() const noexcept { return slots_.load(prim::acquire); }

  // Called once, before the slots are destroyed: threads that end leave them alone from now on.
  void retire() noexcept;

  // A lock that a forked child finds free, and that may be taken while a thread's end is told.
  // Others may share it: for a few instructions that take no other lock.
  void lock() const noexcept;
  void unlock() const noexcept;

 private:
  friend struct per_thread_registry;

  prim::atomic<per_thread_slot*> slots_{nullptr};
  prim::cell<per_thread_slot*> free_;  // under the registry's lock
  const end_of_thread left_;
  std::size_t id_ = 0;
  std::uint64_t serial_ = 0;
};

}  // namespace detail

// A T for each thread that asks for one. Unlike a thread_local it belongs to an object, there may
// be any number of them, and one thread can visit the values of all.
//
// A value outlives its thread: it stays, with what it holds, is visited as before, and is given to
// a thread that asks later. So sums over all threads never shrink, and there are no more values
// than there were threads at one time. All are destroyed with the per_thread, on the thread that
// destroys it, and never before: a thread's end destroys nothing.
//
// If T has such members, they are told of the change:
//   void left_behind() noexcept   on a thread that ends, after the destructors of its thread_local
//                                 objects. A lock of all per_threads is held: it is brief, takes no
//                                 lock that anybody holds while using a per_thread, and uses none.
//   void taken_over() noexcept    on the thread that is given the value of an ended one, before
//                                 local() returns it.
//
// Thread-safety: every function from any thread, also while threads end, and in the destructors of
// their thread_local objects. A visit runs beside the threads that use their values: T synchronizes
// itself (an owned_counter, say, which its thread counts and visitors read).
// Memory ordering: a visit sees a value at least as it was constructed; a thread that is given a
// value sees everything that the thread before did with it.
// Blocks? local() and visits do not, but for a short lock at a thread's first use.
// Complexity: local() is some ten instructions after the first use, in line, without a call. In a
// coroutine that goes on in another thread it finds that thread's value from then on.
// Destruction: no thread is inside a call, or uses a value. At any other time, on any thread, also
// while threads end that have used it; in static destruction; and when a shared library that holds
// it is unloaded, whose threads need not have ended.
// After fork the child visits the values of threads it does not have; nobody is given those.
template <class T>
class per_thread {
 public:
  // Values begin as T{}. Throws std::bad_alloc.
  template <std::default_initializable U = T>
  per_thread() : core_(end_of_thread()) {}

  // Values begin as what make() returns, which need not be movable. Threads call it at their first
  // use, several at a time.
  // Throws std::bad_alloc and what moving it throws.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, per_thread> && detail::makes<std::decay_t<F>, T>)
  explicit per_thread(F&& make)
      : maker_(std::make_unique<maker_of<std::decay_t<F>>>(std::forward<F>(make))),
        core_(end_of_thread()) {}

  ~per_thread() {
    core_.retire();
    for (detail::per_thread_slot* s = core_.first(); s != nullptr;) {
      detail::per_thread_slot* const next = s->next.get();
      node* const n = static_cast<node*>(s);
      std::destroy_at(std::addressof(n->value));
      release(n);
      s = next;
    }
  }
  per_thread(const per_thread&) = delete;
  per_thread& operator=(const per_thread&) = delete;

  // The calling thread's value, made at its first use unless an ended thread left one.
  // Requires: making a T does not itself ask for this value.
  // The reference is good until the thread ends or the per_thread is destroyed.
  // Allocates at the first use. Throws then: std::bad_alloc, std::system_error as at_thread_exit
  // does, and what making a T throws; a later call tries again.
  T& local() {
    if (detail::per_thread_slot* const s = core_.find()) [[likely]]
      return static_cast<node*>(s)->value;
    return first_use();
  }

  // The calling thread's value, or null when it has none yet.
  T* find() noexcept {
    detail::per_thread_slot* const s = core_.find();
    return s != nullptr ? std::addressof(static_cast<node*>(s)->value) : nullptr;
  }
  const T* find() const noexcept {
    const detail::per_thread_slot* const s = core_.find();
    return s != nullptr ? std::addressof(static_cast<const node*>(s)->value) : nullptr;
  }

  // Calls f with each value, in no particular order. Values that appear meanwhile may be left out.
  template <class F>
  void for_each(F f) {
    for (auto* s = core_.first(); s != nullptr; s = s->next.get()) f(static_cast<node*>(s)->value);
  }
  template <class F>
  void for_each(F f) const {
    for (const auto* s = core_.first(); s != nullptr; s = s->next.get()) {
      f(static_cast<const node*>(s)->value);
    }
  }

  // f(... f(f(init, value), value) ..., value) over all values.
  template <class R, class F>
  R combine(R init, F f) const {
    for_each([&](const T& value) { init = f(std::move(init), value); });
    return init;
  }

 protected:
  // For who shares memory with threads that end: see per_thread_core.
  void lock() const noexcept { core_.lock(); }
  void unlock() const noexcept { core_.unlock(); }

 private:
  // Apart from each other, because their threads write them.
  struct alignas(destructive_interference) alignas(T) node : detail::per_thread_slot {
    node() noexcept {}
    ~node() {}
    union {
      T value;
    };
  };

  struct maker {
    virtual ~maker() = default;
    virtual void make_at(T* place) = 0;
  };
  template <class F>
  struct maker_of final : maker {
    template <class G>
    explicit maker_of(G&& g) : make(std::forward<G>(g)) {}
    void make_at(T* place) override { ::new (static_cast<void*>(place)) T(make()); }
    F make;
  };

  static constexpr detail::per_thread_core::end_of_thread end_of_thread() noexcept {
    if constexpr (requires(T& t) { t.left_behind(); }) {
      return [](detail::per_thread_slot& s) noexcept { static_cast<node&>(s).value.left_behind(); };
    } else {
      return nullptr;
    }
  }

  static void release(node* n) noexcept {
    std::destroy_at(n);
    prim::deallocate(n, sizeof(node), alignof(node));
  }

  [[gnu::noinline]] T& first_use();
  void construct(T* place) {
    if constexpr (std::default_initializable<T>) {
      if (maker_ == nullptr) {
        ::new (static_cast<void*>(place)) T{};
        return;
      }
    }
    maker_->make_at(place);
  }

  const std::unique_ptr<maker> maker_;
  detail::per_thread_core core_;
};

template <class T>
T& per_thread<T>::first_use() {
  if (detail::per_thread_slot* const s = core_.inherit()) {
    T& value = static_cast<node*>(s)->value;
    if constexpr (requires { value.taken_over(); }) value.taken_over();
    return value;
  }
  node* const n = ::new (prim::allocate(sizeof(node), alignof(node))) node;
  try {
    construct(std::addressof(n->value));
  } catch (...) {
    release(n);
    throw;
  }
  core_.add(*n);
  return n->value;
}

}  // namespace heddle::inline HEDDLE_ABI
