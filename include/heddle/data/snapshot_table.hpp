// Which values of snapshots are being read, and how long the old ones stay. For the library's own
// use.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The head of a value, and its count: one as long as it is current or in the slot of a reader, and
// one for each that keeps it. Whoever takes away the last one destroys it.
class snapshot_node {
 public:
  using destroyer = void (*)(snapshot_node*) noexcept;

  explicit snapshot_node(destroyer destroy) noexcept : destroy_(destroy) {}
  snapshot_node(const snapshot_node&) = delete;
  snapshot_node& operator=(const snapshot_node&) = delete;

  // Fixed before others can see the value.
  std::uint64_t version() const noexcept { return version_; }
  void number(std::uint64_t version) noexcept { version_ = version; }

  // Requires: somebody else has it counted.
  void keep() noexcept { references_.fetch_add(1, prim::relaxed); }
  void drop() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) destroy_(this);
  }

 protected:
  ~snapshot_node() = default;

 private:
  friend struct snapshot_table;
  friend class snapshot_changes;

  prim::atomic<std::size_t> references_{1};
  const destroyer destroy_;
  std::uint64_t version_ = 0;
  snapshot_node* next_retired_ = nullptr;  // under the table's lock
  bool seen_in_slot_ = false;              // the same
  snapshot_node* next_change_ = nullptr;   // under the lock of the snapshot's listeners
};

// Where one reader says what it reads. The thread to which the slot belongs fills it when it is
// empty; whoever has the guard then empties it, on any thread.
struct snapshot_slot {
  prim::atomic<const void*> held{nullptr};
  // Whoever empties the slot has to sweep. Set and cleared under the table's lock.
  prim::atomic<bool> wanted{false};
};

// What somebody reads: counted when there is no slot. Nothing, when there is no node either.
struct snapshot_hold {
  snapshot_node* node;
  snapshot_slot* slot;
};

// Where the current value is found.
struct snapshot_source {
  explicit snapshot_source(snapshot_node* first) noexcept : current(first) {}

  prim::atomic<snapshot_node*> current;  // changes under the lock
  prim::short_lock publishing;
};

// Where the first slot is in use, or the thread has none yet.
HEDDLE_API snapshot_hold hold_elsewhere(snapshot_source& source) noexcept;
// Where an update came in between; the slot is to be emptied.
HEDDLE_API snapshot_hold hold_instead(snapshot_slot& slot, snapshot_source& source) noexcept;

// Destroys the retired values that nobody has any more.
HEDDLE_API void sweep_snapshots() noexcept;

// Touches neither the value nor its snapshot after the slot is empty.
inline void let_go(const snapshot_hold& hold) noexcept {
  if (hold.slot == nullptr) [[unlikely]] {
    if (hold.node != nullptr) hold.node->drop();
    return;
  }
  hold.slot->held.store(nullptr, prim::release);
  prim::light_fence();
  if (hold.slot->wanted.load(prim::relaxed)) [[unlikely]]
    sweep_snapshots();
}

// Enters in an empty slot what was the current value a moment ago. False, and it is not held, when
// that is no longer so; the slot is still to be emptied then.
[[gnu::always_inline]] inline bool enter_in(snapshot_slot& slot, const snapshot_source& source,
                                            const snapshot_node* node) noexcept {
  slot.held.store(node, prim::release);
  prim::light_fence();
  return source.current.load(prim::acquire) == node;
}

// Holds the current value, which is then not destroyed before it was let go.
//
// Blocks? No. In three cases it takes a lock of a few instructions and counts: when an update falls
// between two of its steps, when all slots of the thread are in use, and when more threads read
// than there are rows. Else its steps are a fixed number, and write only to the thread's own line.
// The acquire load of the slot: whoever emptied it may have been another thread, and what that read
// must come before what a sweep sees in the slot next.
inline snapshot_hold hold_current(snapshot_source& source) noexcept {
  auto* const slot = static_cast<snapshot_slot*>(
      prim::running_thread_values()[static_cast<unsigned>(prim::thread_slot::snapshot_row)]);
  if (slot == nullptr || slot->held.load(prim::acquire) != nullptr) [[unlikely]]
    return hold_elsewhere(source);
  snapshot_node* const node = source.current.load(prim::relaxed);
  if (!enter_in(*slot, source, node)) [[unlikely]]
    return hold_instead(*slot, source);
  return {node, slot};
}

// Gives up a value that is no longer current; it is destroyed now, or by the last that has it.
// `in_use` says that others may be inside of hold_current() for this source; then it costs a heavy
// fence.
HEDDLE_API void retire(snapshot_node* node, bool in_use) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail
