#include <heddle/data/snapshot_table.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_table.hpp>

#include <system_error>
#include <utility>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// One thread's slots. Static and never freed: a guard that was moved may outlive its thread, and
// empties its slot all the same.
class alignas(destructive_interference) snapshot_row final : prim::thread_exit_hook {
 public:
  constexpr snapshot_row() noexcept : prim::thread_exit_hook(nullptr) {}

  // False, and nothing has changed, when it belongs to another thread. Throws std::system_error.
  bool take();
  // Leaves no slot empty, for good.
  void fill() noexcept;

  snapshot_slot slots[prim::limits::snapshot_slots];

 private:
  static void thread_ends(prim::thread_exit_hook* hook) noexcept;

  prim::atomic<bool> taken_{false};
};

}  // namespace

// All zero at the start, so that what no thread needs takes no memory.
struct snapshot_table {
  snapshot_row rows[prim::limits::snapshot_rows];
  snapshot_row full;                  // shared by all threads that came too late
  prim::atomic<std::size_t> used{0};  // no row from here on was ever taken
  prim::mutex mutex;
  snapshot_node* retired HEDDLE_GUARDED_BY(mutex) = nullptr;  // each with the count of its slots

  template <class F>
  void for_each_slot(F f) noexcept {
    const std::size_t rows_used = used.load(prim::acquire);
    for (std::size_t i = 0; i < rows_used; ++i) {
      for (snapshot_slot& s : rows[i].slots) f(s);
    }
  }

  void enter() noexcept;
  bool is_in_slot(const snapshot_node* node) noexcept;
  void add(snapshot_node* node) noexcept HEDDLE_REQUIRES(mutex);
  snapshot_node* take_unread() noexcept HEDDLE_REQUIRES(mutex);
  snapshot_node* find(const void* node) const noexcept HEDDLE_REQUIRES(mutex);
  static void drop_all(snapshot_node* unread) noexcept;
};

namespace {

constinit snapshot_table table;

void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { table.mutex.lock(); }
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { table.mutex.unlock(); }

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork);

void*& slots_of_this_thread() noexcept {
  return prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::snapshot_row)];
}

bool snapshot_row::take() {
  if (taken_.load(prim::relaxed) || taken_.exchange(true, prim::acquire)) return false;
  run = &thread_ends;
  try {
    prim::at_thread_exit(*this);
  } catch (...) {
    taken_.store(false, prim::release);
    throw;
  }
  return true;
}

void snapshot_row::fill() noexcept {
  for (snapshot_slot& s : slots) s.held.store(this, prim::relaxed);
}

// Slots that guards still use stay so: the thread that has the row next passes over them.
void snapshot_row::thread_ends(prim::thread_exit_hook* hook) noexcept {
  auto* const row = static_cast<snapshot_row*>(hook);
  slots_of_this_thread() = nullptr;
  row->taken_.store(false, prim::release);
}

}  // namespace

void snapshot_table::enter() noexcept {
  try {
    for (std::size_t i = 0; i < prim::limits::snapshot_rows; ++i) {
      if (!rows[i].take()) continue;
      std::size_t before = used.load(prim::acquire);
      while (before <= i && !used.compare_exchange_weak(before, i + 1, prim::seq_cst)) {
      }
      slots_of_this_thread() = rows[i].slots;
      return;
    }
  } catch (const std::system_error&) {
  }
  full.fill();
  slots_of_this_thread() = full.slots;
}

bool snapshot_table::is_in_slot(const snapshot_node* node) noexcept {
  bool found = false;
  for_each_slot([&](const snapshot_slot& s) {
    if (s.held.load(prim::acquire) == node) found = true;
  });
  return found;
}

snapshot_node* snapshot_table::find(const void* node) const noexcept {
  snapshot_node* n = retired;
  while (n != nullptr && n != node) n = n->next_retired_;
  return n;
}

// From now on those who have it in a slot know that they are to sweep.
void snapshot_table::add(snapshot_node* node) noexcept {
  node->next_retired_ = std::exchange(retired, node);
  for_each_slot([&](snapshot_slot& s) {
    if (s.held.load(prim::acquire) == node) s.wanted.store(true, prim::relaxed);
  });
}

// Takes those out of the retired ones that are in no slot. Each slot is read once, so that one
// which is no longer wanted held nothing retired. Slots that are not wanted do not matter: what is
// found there comes from a reader that was late, and will see so.
snapshot_node* snapshot_table::take_unread() noexcept {
  for (snapshot_node* n = retired; n != nullptr; n = n->next_retired_) n->seen_in_slot_ = false;
  for_each_slot([&](snapshot_slot& s) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (!s.wanted.load(prim::relaxed)) return;
    if (snapshot_node* const n = find(s.held.load(prim::acquire))) {
      n->seen_in_slot_ = true;
    } else {
      s.wanted.store(false, prim::relaxed);
    }
  });
  snapshot_node* unread = nullptr;
  for (snapshot_node** at = &retired; *at != nullptr;) {
    snapshot_node* const n = *at;
    if (n->seen_in_slot_) {
      at = &n->next_retired_;
    } else {
      *at = n->next_retired_;
      n->next_retired_ = std::exchange(unread, n);
    }
  }
  return unread;
}

void snapshot_table::drop_all(snapshot_node* unread) noexcept {
  while (unread != nullptr) std::exchange(unread, unread->next_retired_)->drop();
}

namespace {

[[gnu::noinline]] snapshot_hold hold_counted(snapshot_source& source) noexcept {
  const prim::scoped_lock lock(source.publishing);
  snapshot_node* const node = source.current.load(prim::relaxed);
  node->keep();
  return {node, nullptr};
}

// Nothing is ordered while the kernel refuses: for lack of memory, or for a second after a sandbox
// took membarrier away.
void fence_all_threads() noexcept {
  while (!prim::heavy_fence()) prim::nap();
}

}  // namespace

snapshot_hold hold_instead(snapshot_slot& slot, snapshot_source& source) noexcept {
  let_go({nullptr, &slot});
  return hold_counted(source);
}

snapshot_hold hold_elsewhere(snapshot_source& source) noexcept {
  if (slots_of_this_thread() == nullptr) table.enter();
  auto* const slots = static_cast<snapshot_slot*>(slots_of_this_thread());
  for (snapshot_slot* s = slots; s != slots + prim::limits::snapshot_slots; ++s) {
    if (s->held.load(prim::acquire) != nullptr) continue;
    snapshot_node* const node = source.current.load(prim::relaxed);
    if (!enter_in(*s, source, node)) return hold_instead(*s, source);
    return {node, s};
  }
  return hold_counted(source);
}

void sweep_snapshots() noexcept {
  snapshot_node* unread = nullptr;
  {
    const prim::scoped_lock lock(table.mutex);
    unread = table.take_unread();
  }
  snapshot_table::drop_all(unread);
}

void retire(snapshot_node* node, bool in_use) noexcept {
  if (in_use) fence_all_threads();
  if (!table.is_in_slot(node)) {
    node->drop();
    return;
  }
  {
    const prim::scoped_lock lock(table.mutex);
    table.add(node);
  }
  fence_all_threads();
  sweep_snapshots();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
