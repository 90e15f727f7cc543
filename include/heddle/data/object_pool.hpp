// Objects that are used again.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/data/object_pool_core.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// There are as many objects as object_pool_options::most allows, and none is at hand.
class HEDDLE_API exhausted : public error {
 public:
  explicit exhausted(std::size_t most);
  ~exhausted() override;
};

// A pool's factory returned a pointer that points to nothing.
class HEDDLE_API null_object : public error {
 public:
  null_object();
  ~null_object() override;
};

namespace detail {

// What a factory returns when it is not a T: a pointer that owns one.
template <class R, class T>
concept owner_of = !std::same_as<R, T> && !std::is_pointer_v<R> && requires(R& owner) {
  { *owner } -> std::convertible_to<T&>;
  static_cast<bool>(owner);
};

template <class Make, class T>
concept makes_object =
    makes<Make, T> ||
    (std::invocable<Make&> && owner_of<std::remove_cvref_t<std::invoke_result_t<Make&>>, T>);

struct no_reset {
  template <class T>
  void operator()(T&) const noexcept {}
};

template <class T>
struct made_by_default {
  T operator()() const { return T(); }
};

template <class T, class Make, class Reset>
class object_pool_of;

}  // namespace detail

// Keeps objects that are expensive to make, for the next one to ask. Each thread has some for
// itself: taking one and giving it back there touches nothing that other threads write. What a
// thread has too many of goes to a common store, half of its share at a time, and threads that have
// none take such a portion from there. Only when that is empty too a new one is made.
//
// The factory returns a T, which need not be movable, or a pointer that owns one (std::unique_ptr,
// say, of a derived class), which must not be null. The reset, if there is one, is called with each
// object as it is given back, on the thread that does so. Both may be called by several threads at
// a time, and may use the pool. Objects are destroyed by whoever gives one back for which there is
// no room, on any thread; T's destructor does not throw.
//
// Exceptions: what the factory throws goes to who wanted the object; nothing is lost, and the next
// one who wants an object calls it again. When the reset throws, the object is destroyed and
// counted as discarded, and the exception goes to the unhandled handler, since who gives back may
// be in the middle of a destructor.
//
// Thread-safety: every function from any thread; a lease by one thread at a time.
// Memory ordering: what happened before an object was given back happened before it is taken again.
// Blocks? Never for an object; but for a short lock, for a portion. Allocates what the factory
// does, some 40 bytes with each object, and at a thread's first use.
// Complexity: some thirty instructions to take one and as many to give it back; no
// read-modify-write, but for one lock each portion.
// Destruction: no thread is inside a call, or will be; but leases may be out, be given back at the
// same time, and later. Their objects live as long as they, and are destroyed without a reset; the
// last one frees what is left, with the factory and the reset. A reset that has begun runs on,
// maybe until after the destructor has returned: so what the two refer to lives until the last
// lease has ended. A reset that uses the pool is a call, which has ended before.
// A thread that ends leaves its objects to the store.
// After fork the child has what the forking thread and the store had; the objects of threads that
// it does not have are lost to it, and count as existing. When it destroys the pool, no lease that
// is older than the fork is being given back.
// Source: portions between threads and a store: Bonwick and Adams, "Magazines and vmem", USENIX
// 2001.
template <class T>
class object_pool {
 public:
  class lease;

  // Throws std::invalid_argument when options.most is 0, or less than options.initial, or
  // options.kept_per_thread is beyond 2^20; std::bad_alloc; and what the factory throws.
  template <std::default_initializable U = T>
  explicit object_pool(const object_pool_options& options = {})
      : object_pool(detail::made_by_default<U>(), detail::no_reset(), options) {}

  template <class Make>
    requires detail::makes_object<Make, T>
  explicit object_pool(Make make, const object_pool_options& options = {})
      : object_pool(std::move(make), detail::no_reset(), options) {}

  template <class Make, class Reset>
    requires(detail::makes_object<Make, T> && std::invocable<Reset&, T&>)
  object_pool(Make make, Reset reset, const object_pool_options& options = {})
      : core_(detail::make_object<detail::object_pool_of<T, Make, Reset>>(
            std::move(make), std::move(reset), options)) {}

  ~object_pool() { core_->close(); }
  object_pool(const object_pool&) = delete;
  object_pool& operator=(const object_pool&) = delete;

  // An object that was given back, or else a new one.
  // Throws what the factory throws; std::bad_alloc; exhausted when there are as many as the bound
  // allows and none is at hand, though other threads may keep some for themselves; null_object;
  // std::system_error at a thread's first use, as at_thread_exit does.
  [[nodiscard]] lease acquire() {
    lease taken = try_acquire();
    if (!taken) [[unlikely]]
      core_->fail_exhausted();
    return taken;
  }

  // The same; an empty lease instead of throwing exhausted.
  [[nodiscard]] lease try_acquire() { return lease(core_, core_->take()); }

  // Counts of calls that are under way may be in it or not.
  object_pool_statistics statistics() const { return core_->statistics(); }

  // One for each thread, and for those that have ended whose place no other has taken; the counts
  // of a place go on.
  std::vector<object_pool_statistics> statistics_by_thread() const {
    return core_->statistics_by_thread();
  }

 private:
  detail::object_pool_core* const core_;
};

// The use of an object, which ends with it. May be moved, to another thread too, and outlive the
// pool.
template <class T>
class object_pool<T>::lease {
 public:
  lease() = default;
  lease(lease&& other) noexcept
      : pool_(other.pool_), object_(std::exchange(other.object_, nullptr)) {}
  lease& operator=(lease&& other) noexcept {
    lease before(std::move(*this));
    pool_ = other.pool_;
    object_ = std::exchange(other.object_, nullptr);
    return *this;
  }
  ~lease() { give_back(); }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  // Requires, as * and -> do: it is not empty. get() returns null then.
  T& operator*() const noexcept { return *static_cast<T*>(object_->object); }
  T* operator->() const noexcept { return static_cast<T*>(object_->object); }
  T* get() const noexcept {
    return object_ != nullptr ? static_cast<T*>(object_->object) : nullptr;
  }

  // Ends the use before its time. Does nothing when it is empty, as it is afterwards.
  void give_back() noexcept {
    if (object_ != nullptr) pool_->give_back(std::exchange(object_, nullptr));
  }
  // The same for an object that is not to be used again: it is destroyed.
  void discard() noexcept {
    if (object_ != nullptr) pool_->discard(std::exchange(object_, nullptr));
  }

 private:
  friend class object_pool;
  lease(detail::object_pool_core* pool, detail::pooled* object) noexcept
      : pool_(pool), object_(object) {}

  detail::object_pool_core* pool_ = nullptr;
  detail::pooled* object_ = nullptr;
};

namespace detail {

// What of a pool depends on the types.
template <class T, class Make, class Reset>
class object_pool_of final : public object_pool_core {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && std::is_nothrow_destructible_v<T>);
  using result = std::remove_cvref_t<std::invoke_result_t<Make&>>;

 public:
  object_pool_of(Make make, Reset reset, const object_pool_options& options)
      : object_pool_core(options, !std::same_as<Reset, no_reset>),
        make_(std::move(make)),
        reset_(std::move(reset)) {
    fill(options.initial);
  }

 private:
  struct in_place : pooled {
    explicit in_place(Make& make) : value(make()) { object = std::addressof(value); }
    T value;
  };
  struct by_owner : pooled {
    explicit by_owner(Make& make) : owner(make()) {
      if (!static_cast<bool>(owner)) throw null_object();
      T& value = *owner;
      object = std::addressof(value);
    }
    result owner;
  };
  using node = std::conditional_t<owner_of<result, T>, by_owner, in_place>;

  pooled* make() override { return make_object<node>(make_); }
  void reset(pooled& p) override { reset_(*static_cast<T*>(p.object)); }
  void destroy(pooled* p) noexcept override { destroy_object(static_cast<node*>(p)); }
  void end() noexcept override { destroy_object(this); }

  [[no_unique_address]] Make make_;
  [[no_unique_address]] Reset reset_;
};

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
