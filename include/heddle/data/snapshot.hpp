// A value that many read and few replace.
#pragma once

#include <concepts>
#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/hook.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/data/snapshot_table.hpp>
#include <heddle/data/subscription.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

// A function that was given to a snapshot's update, or its validator, updates the same snapshot.
class HEDDLE_API recursive_update : public error {
 public:
  recursive_update();
  ~recursive_update() override;
};

namespace detail {

// What does not depend on the type.
class HEDDLE_API snapshot_core {
 public:
  explicit snapshot_core(snapshot_node* first) noexcept;
  ~snapshot_core();
  snapshot_core(const snapshot_core&) = delete;
  snapshot_core& operator=(const snapshot_core&) = delete;

  snapshot_hold hold() const noexcept { return hold_current(source_); }

  // Throws std::bad_alloc; then the listener was not added.
  void subscribe(snapshot_listener* listener);

 private:
  friend class snapshot_turn;

  mutable snapshot_source source_;
  snapshot_changes* changes_ = nullptr;  // changes once, under source_.publishing
  mutex updating_;
  prim::atomic<std::uint32_t> updater_{0};  // the number of the thread at it, and one; 0: none
};

// The turn of one update; the others wait. Throws recursive_update, and as mutex::lock.
class HEDDLE_API snapshot_turn {
 public:
  explicit snapshot_turn(snapshot_core& core);
  ~snapshot_turn();
  snapshot_turn(const snapshot_turn&) = delete;
  snapshot_turn& operator=(const snapshot_turn&) = delete;

  snapshot_node* current() const noexcept { return core_.source_.current.load(prim::relaxed); }
  // Makes it the current value, and ends the turn. Then gives up the one before, and tells the
  // listeners. Returns the version. Requires: the turn has not ended.
  std::uint64_t publish(snapshot_node* fresh) noexcept;

 private:
  void end() noexcept;

  snapshot_core& core_;
  bool ended_ = false;
};

}  // namespace detail

// A value of type T that is replaced as a whole. A reader has the value of one moment, which does
// not change, as long as it likes; meanwhile others publish new ones. For configurations, routing
// tables, lists of peers: what is read all the time and replaced at most some thousand times a
// second.
//
//   heddle::snapshot<config> current(load());
//   const auto now = current.read();                     // now->timeout, now->routes
//   current.update([](config c) { c.timeout = 5s; return c; });
//
// Values are numbered: the first has version 1, each later one the next.
//
// Requires: T may be read by several threads at once (its const functions), and its destructor does
// not throw.
// Thread-safety: every function from any thread.
// Memory ordering: what came before an update is seen by whoever reads its value.
// Blocks? Reading does not, whatever updates do (see read). Updates wait for each other as
// heddle::mutex does; they wait for no reader.
//
// Old values: a value that is no longer current is destroyed at once when the last that reads or
// keeps it is through with it, on that one's thread; by the updating thread, behind the
// publication, if there is nobody. Destructors run outside of all locks, and may use the snapshot.
// Destruction: no thread is inside a call, and the destructor is not called by a listener. Guards
// and kept values may outlive the snapshot, and end on any thread; so may subscriptions.
// After fork the child reads and updates, unless another thread was at that moment inside an
// update, the begin or end of a subscription, or a read that counts: then either may wait for ever,
// as with any lock. What the parent's other threads were reading is not destroyed in the child.
// Source: readers show what they read in hazard pointers (Michael, "Hazard pointers: safe memory
// reclamation for lock-free objects", TPDS 2004), whose fence the updating side pays for (Dice,
// Huang, Yang, "Asymmetric Dekker synchronization", 2001). Protocol: docs/protocols/snapshot.md.
template <class T>
class snapshot {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T>);
  struct node;

 public:
  // A version of the value, for as long as it is wanted: counted, so that it costs a
  // read-modify-write on a line that all who keep the same version share, and one more to let it
  // go. Copies count one more. Empty when default constructed or moved from.
  class kept {
   public:
    kept() noexcept = default;
    kept(const kept& other) noexcept : node_(other.node_) {
      if (node_ != nullptr) node_->keep();
    }
    kept(kept&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    kept& operator=(kept other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~kept() {
      if (node_ != nullptr) node_->drop();
    }

    explicit operator bool() const noexcept { return node_ != nullptr; }
    // Requires: not empty.
    const T& operator*() const noexcept { return node_->value; }
    const T* operator->() const noexcept { return &node_->value; }
    std::uint64_t version() const noexcept { return node_->version(); }

   private:
    friend class snapshot;
    // One that is counted for it by somebody else.
    explicit kept(node& n) noexcept : node_(&n) { n.keep(); }

    node* node_ = nullptr;
  };

  // A version of the value, for a scope: as cheap as it gets. It may be moved, also to another
  // thread, be held while its thread waits or a coroutine is suspended, and end anywhere.
  // A thread has six that cost the same; those that it makes beyond while it has not let these go
  // are counted, as `kept`.
  class guard {
   public:
    guard(guard&& other) noexcept : hold_(std::exchange(other.hold_, {})) {}
    guard& operator=(guard&& other) noexcept {
      guard before(std::move(*this));
      hold_ = std::exchange(other.hold_, {});
      return *this;
    }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() { detail::let_go(hold_); }

    // False when moved from.
    explicit operator bool() const noexcept { return hold_.node != nullptr; }
    // Requires: not moved from.
    const T& operator*() const noexcept { return held().value; }
    const T* operator->() const noexcept { return &held().value; }
    std::uint64_t version() const noexcept { return hold_.node->version(); }
    // The same version, longer than this guard.
    [[nodiscard]] kept keep() const noexcept { return kept(held()); }

   private:
    friend class snapshot;
    explicit guard(const detail::snapshot_hold& hold) noexcept : hold_(hold) {}
    node& held() const noexcept { return static_cast<node&>(*hold_.node); }

    detail::snapshot_hold hold_;
  };

  // Throws std::bad_alloc, and what T() or moving the value throws.
  snapshot()
    requires(std::default_initializable<T>)
      : core_(node::make([] { return T(); })) {}
  explicit snapshot(T first) : core_(node::make([&] { return T(std::move(first)); })) {}
  // With a validator, which is shown each value before it is published, this one included:
  // bool(const T&). A value for which it returns false is refused; a validator that returns nothing
  // refuses by std::invalid_argument, whose message says what is wrong. It is called by one thread
  // at a time, and does not update the snapshot.
  // Throws std::invalid_argument when the first value is refused, or the validator is null.
  template <class V>
    requires(std::invocable<std::decay_t<V>&, const T&>)
  snapshot(T first, V&& validator)
      : validator_(checked(std::forward<V>(validator))),
        core_(valid(owned(node::make([&] { return T(std::move(first)); }))).release()) {}
  snapshot(const snapshot&) = delete;
  snapshot& operator=(const snapshot&) = delete;

  // The current value. It may be called anywhere: while the thread reads, inside an update's
  // function, in a listener.
  // Blocks? No, and it does not write to anything that other threads write: it takes a fixed number
  // of steps, among which there is neither a loop nor a read-modify-write. There are three
  // exceptions in which it takes a lock of a few instructions and counts: an update was published
  // between two of its steps; the thread has six guards; 1024 other threads that had read lived
  // when this one first read. A thread's first read registers the thread.
  [[nodiscard]] guard read() const noexcept { return guard(core_.hold()); }
  // Calls f with the current value and returns what it returns, which is a copy if it is a
  // reference.
  template <class F>
    requires(std::invocable<F, const T&>)
  auto read(F&& f) const {
    const guard now = read();
    return detail::invoke(std::forward<F>(f), *now);
  }
  // The current value, counted: read().keep().
  [[nodiscard]] kept keep() const noexcept { return read().keep(); }
  std::uint64_t version() const noexcept { return read().version(); }

  // Replaces the value by what f(const T&) makes of it; f is called once, and no other update comes
  // in between. Returns the new version. When it throws nothing has changed.
  // f should be brief, since other updates wait. One that updates the same snapshot, or waits on
  // its thread for something that does, gets recursive_update; one that waits for another thread's
  // update waits for ever.
  // Throws what f throws; std::invalid_argument when the validator refuses the new value, and what
  // else that throws; recursive_update; std::bad_alloc; would_starve and deadlock_error as
  // mutex::lock.
  // Blocks? Waits for other updates, and for the listeners that it calls: for its own version, and
  // for as many as others publish meanwhile. It takes some microseconds (a system call that fences
  // all threads); up to a second, once, when a sandbox forbids that call while the process runs.
  template <class F>
    requires(std::invocable<F, const T&> &&
             std::convertible_to<std::invoke_result_t<F, const T&>, T>)
  std::uint64_t update(F&& f) {
    detail::require_callable(f, "snapshot::update");
    owned fresh;  // what is refused is destroyed behind the turn
    detail::snapshot_turn turn(core_);
    fresh = successor(turn, std::forward<F>(f));
    if (validator_) validator_(fresh->value);
    return turn.publish(fresh.release());
  }
  // The same, but nothing, and no exception, when the validator refuses the new value.
  template <class F>
    requires(std::invocable<F, const T&> &&
             std::convertible_to<std::invoke_result_t<F, const T&>, T>)
  std::optional<std::uint64_t> try_update(F&& f) {
    detail::require_callable(f, "snapshot::try_update");
    owned fresh;
    detail::snapshot_turn turn(core_);
    fresh = successor(turn, std::forward<F>(f));
    if (validator_) {
      try {
        validator_(fresh->value);
      } catch (const std::invalid_argument&) {
        return std::nullopt;
      }
    }
    return turn.publish(fresh.release());
  }
  // Replaces the value, whatever it is; else as update.
  std::uint64_t store(T value) {
    return update([&](const T&) { return T(std::move(value)); });
  }

  // From now on f(const kept&) is called with each version that is published, in their order, after
  // its publication, as long as the subscription lives. What f throws goes to the unhandled
  // handler; the others are called all the same.
  // An update calls the listeners, outside of all locks, before it returns; but while one thread
  // calls them, others leave theirs to it and return at once, and so does an update by a listener.
  // Versions that listeners have not been told yet are kept meanwhile: listeners should be brief.
  // The listeners of a version are called in the order in which they came, in the context of the
  // thread that calls them, which may be another update's: see in_current_context.
  // Throws std::bad_alloc, and what copying f throws; std::invalid_argument when it is null.
  template <class F>
    requires(std::invocable<std::decay_t<F>&, const kept&>)
  [[nodiscard]] subscription subscribe(F&& f) {
    detail::require_callable(f, "snapshot::subscribe");
    auto* const added = new listener<std::decay_t<F>>(std::forward<F>(f));
    try {
      core_.subscribe(added);
    } catch (...) {
      delete added;
      throw;
    }
    return subscription(added);
  }

 private:
  struct node final : detail::snapshot_node {
    template <class Make>
    explicit node(Make&& maker) : snapshot_node(&destroy), value(std::forward<Make>(maker)()) {}

    template <class Make>
    static node* make(Make&& maker) {
      void* const memory = prim::allocate(sizeof(node), alignof(node));
      try {
        return ::new (memory) node(std::forward<Make>(maker));
      } catch (...) {
        prim::deallocate(memory, sizeof(node), alignof(node));
        throw;
      }
    }
    static void destroy(snapshot_node* n) noexcept {
      auto* const self = static_cast<node*>(n);
      self->~node();
      prim::deallocate(self, sizeof(node), alignof(node));
    }

    const T value;
  };

  // A value that is not published yet.
  class owned {
   public:
    explicit owned(node* n = nullptr) noexcept : node_(n) {}
    owned(owned&& other) noexcept : node_(other.release()) {}
    owned& operator=(owned&& other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~owned() {
      if (node_ != nullptr) node::destroy(node_);
    }
    node* operator->() const noexcept { return node_; }
    node* release() noexcept { return std::exchange(node_, nullptr); }

   private:
    node* node_;
  };

  template <class F>
  struct listener final : detail::snapshot_listener {
    template <class G>
    explicit listener(G&& g) : function(std::in_place, std::forward<G>(g)) {}
    void call(detail::snapshot_node& changed) override {
      (*function)(static_cast<const kept&>(kept(static_cast<node&>(changed))));
    }
    void clear() noexcept override { function.reset(); }

    std::optional<F> function;
  };

  template <class F>
  static owned successor(const detail::snapshot_turn& turn, F&& f) {
    const T& before = static_cast<const node*>(turn.current())->value;
    return owned(node::make([&]() -> T { return detail::invoke(std::forward<F>(f), before); }));
  }

  owned valid(owned fresh) const {
    if (validator_) validator_(fresh->value);
    return fresh;
  }

  template <class V>
  static hook<const T&> checked(V&& validator) {
    detail::require_callable(validator, "snapshot");
    if constexpr (std::is_void_v<std::invoke_result_t<std::decay_t<V>&, const T&>>) {
      return hook<const T&>(std::forward<V>(validator));
    } else {
      return hook<const T&>([v = std::decay_t<V>(std::forward<V>(validator))](const T& t) mutable {
        if (!v(t)) throw std::invalid_argument("snapshot: the validator refuses the value");
      });
    }
  }

  hook<const T&> validator_;
  detail::snapshot_core core_;
};

}  // namespace heddle::inline HEDDLE_ABI
