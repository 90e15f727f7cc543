// Who wants to hear of changes.
#pragma once

#include <cstdint>
#include <utility>

#include <heddle/data/snapshot_table.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/sync/mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

class snapshot_changes;

// One listener. Counted: by the list it is in, and by its subscription.
class HEDDLE_API snapshot_listener {
 public:
  snapshot_listener() = default;
  snapshot_listener(const snapshot_listener&) = delete;
  snapshot_listener& operator=(const snapshot_listener&) = delete;

 protected:
  virtual ~snapshot_listener();
  virtual void call(snapshot_node& changed) = 0;
  // Destroys the callable. Nobody is inside of call(), or will be.
  virtual void clear() noexcept = 0;

 private:
  friend class snapshot_changes;

  void drop() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
  }

  prim::atomic<unsigned> references_{2};
  snapshot_changes* changes_ = nullptr;    // counted, since it was added
  snapshot_listener* next_ = nullptr;      // under the list's lock
  bool gone_ = false;                      // the same
  bool ended_inside_ = false;              // of its own call: written and read by that thread
  std::uint64_t since_ = 0;                // the version that was current when it came
  mutex calling_;                          // held while it is called
  prim::atomic<std::uint32_t> caller_{0};  // the number of the thread inside, and one; 0: none
};

// The listeners of one snapshot, and the versions that they have not been told yet. Counted: by the
// snapshot and by each listener.
class HEDDLE_API snapshot_changes {
 public:
  snapshot_changes() = default;
  snapshot_changes(const snapshot_changes&) = delete;
  snapshot_changes& operator=(const snapshot_changes&) = delete;

  // By the snapshot, under its lock.
  void add(snapshot_listener& listener, std::uint64_t since) noexcept;
  // The same. Keeps the value if there is a listener.
  void append(snapshot_node& published) noexcept;

  // Tells the listeners what they have not been told yet, unless another call is at it, which then
  // goes on with what was appended before this one.
  void deliver() noexcept;

  // For a subscription: afterwards the listener is not called.
  static void end(snapshot_listener& listener) noexcept;

  // The snapshot's end, and its count.
  void close() noexcept;

 private:
  ~snapshot_changes() = default;
  void drop() noexcept;
  snapshot_node* next_change() noexcept;
  snapshot_listener* next_listener(const snapshot_listener* behind) noexcept;
  void tell(snapshot_listener& listener, snapshot_node& changed) noexcept;
  bool begin_call(snapshot_listener& listener) noexcept;
  bool is_gone(const snapshot_listener& listener) noexcept;
  snapshot_listener* take_gone() noexcept HEDDLE_REQUIRES(lock_);
  void drop_all(snapshot_listener* listeners) noexcept;

  prim::atomic<unsigned> references_{1};
  prim::short_lock lock_;
  snapshot_listener* first_ HEDDLE_GUARDED_BY(lock_) = nullptr;  // in the order of subscription
  snapshot_listener* last_ HEDDLE_GUARDED_BY(lock_) = nullptr;
  snapshot_node* first_change_ HEDDLE_GUARDED_BY(lock_) = nullptr;  // each is counted
  snapshot_node* last_change_ HEDDLE_GUARDED_BY(lock_) = nullptr;
  bool delivering_ HEDDLE_GUARDED_BY(lock_) = false;  // then nobody else unlinks a listener
};

}  // namespace detail

// The right to be called, as long as it lives: what snapshot::subscribe returns.
//
// Thread-safety: none of its own; it may end on any thread. It may outlive its snapshot, and is
// then without effect.
class HEDDLE_API subscription {
 public:
  subscription() noexcept = default;
  explicit subscription(detail::snapshot_listener* listener) noexcept : listener_(listener) {}
  subscription(subscription&& other) noexcept
      : listener_(std::exchange(other.listener_, nullptr)) {}
  subscription& operator=(subscription&& other) noexcept {
    if (this != &other) {
      reset();
      listener_ = std::exchange(other.listener_, nullptr);
    }
    return *this;
  }
  ~subscription() { reset(); }

  explicit operator bool() const noexcept { return listener_ != nullptr; }

  // Afterwards the listener is not called any more, and has been destroyed.
  // Blocks? Waits for a call of this listener that is under way. Called from inside of that, on its
  // thread, it does not wait; the listener is destroyed when the call returns.
  // Where no spare worker can stand in for the wait, it waits all the same.
  void reset() noexcept {
    if (listener_ != nullptr) detail::snapshot_changes::end(*std::exchange(listener_, nullptr));
  }

 private:
  detail::snapshot_listener* listener_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI
