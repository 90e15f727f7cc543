// Values that follow a piece of work: the request's id, its user, its deadline.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

template <class T>
class context_key;

namespace detail {

struct context_key_base {
  const char* name;
  std::string (*text)(const void* value);
};

// A value under its key, which any number of contexts share. Counted.
class context_entry {
 public:
  using destroyer = void (*)(context_entry*) noexcept;

  context_entry(const context_key_base& key, const void* value, destroyer destroy) noexcept
      : key_(key), value_(value), destroy_(destroy) {}
  context_entry(const context_entry&) = delete;
  context_entry& operator=(const context_entry&) = delete;

  const context_key_base& key() const noexcept { return key_; }
  const void* value() const noexcept { return value_; }
  void keep() noexcept { references_.fetch_add(1, prim::relaxed); }
  void drop() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) destroy_(this);
  }

 protected:
  ~context_entry() = default;

 private:
  prim::atomic<std::size_t> references_{1};
  const context_key_base& key_;
  const void* const value_;
  const destroyer destroy_;
};

// The entries of a context, in the order in which their keys came.
struct context_entries {
  context_entry* const* first;
  std::size_t size;
};

// None when it is null, or a context of another make.
HEDDLE_API context_entries entries_of(context_ref context) noexcept;
// The key's value, or null.
HEDDLE_API const void* find_in(context_ref context, const context_key_base& key) noexcept;
// Those entries and this one, which takes the place of one with the same key; counted once. Takes
// over the caller's count of the entry, also when it throws std::bad_alloc.
HEDDLE_API context_ref extended(context_ref context, context_entry* entry);
// "name=text name=text".
HEDDLE_API std::string text_of(context_ref context);

template <class T>
std::string context_text(const void* value);

}  // namespace detail

// A name for values of one type, which is itself the key: two keys are the same if they are the
// same object. Usually an inline constant at namespace scope.
//
//   inline const heddle::context_key<std::string> request_id("request", "none");
//
// Requires: it outlives all contexts with a value for it; so does the name, which is not copied.
// Across shared libraries it must not be hidden, or each has a key of its own.
// Thread-safety: everything is const.
template <class T>
class context_key : private detail::context_key_base {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>);

 public:
  // With the value that it has where nobody gave it one. Throws what T() throws.
  explicit context_key(const char* name)
    requires(std::default_initializable<T>)
      : context_key(name, T()) {}
  context_key(const char* name, T otherwise)
      : context_key_base{name, &detail::context_text<T>}, otherwise_(std::move(otherwise)) {}
  context_key(const context_key&) = delete;
  context_key& operator=(const context_key&) = delete;

  const char* name() const noexcept { return context_key_base::name; }
  const T& otherwise() const noexcept { return otherwise_; }

  // The value that the calling thread's work has at present, or null: read like a thread_local. It
  // is good as long as that context is in place, or is kept (context::current).
  // Complexity: a call, and a comparison for each key in the context; neither locks nor counts.
  const T* find() const noexcept {
    return static_cast<const T*>(detail::find_in(current_context(), *this));
  }
  // The same, or otherwise().
  const T& get() const noexcept {
    const T* const found = find();
    return found != nullptr ? *found : otherwise_;
  }

 private:
  friend class context;

  const T otherwise_;
};

// Some keys with their values, which never change: with() makes another context. Heddle's executors
// take the context that is in place where work is made, and put it in place where the work runs, in
// whatever thread: submit and post, then, timers, strands, groups, loops, bulks, the coroutines'
// co_await, on_ready. scoped_context puts one in place.
// Listeners (snapshot::subscribe, a cache's on_removal) run in the context of the call that calls
// them, unless they are made by in_current_context.
//
// The values are destroyed with the last context that has them, on whatever thread: with the last
// piece of work that carries it, has run or was discarded, unless somebody keeps it longer.
// Thread-safety: that of the values, which several threads read at once. A context object itself is
// like any other: not to be changed while others use it.
// Cost: work that is made where no context is in place pays for a test; with one, two
// read-modify-writes on the context's count.
// Copying costs a read-modify-write unless it is empty.
class HEDDLE_API context {
 public:
  // An empty one.
  context() noexcept = default;
  context(const context& other) noexcept : node_(other.node_) {
    if (node_ != nullptr) node_->retain(node_);
  }
  context(context&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  context& operator=(context other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~context() {
    if (node_ != nullptr) node_->release(node_);
  }

  // What is in place on the calling thread, for whoever passes it on by hand.
  static context current() noexcept { return context(current_context(), counted_from_now{}); }

  // This one and a value for the key, instead of the one it has. A context of another make, which
  // others may have put in place, has no values: what comes of it has this one alone, and where it
  // is put in place the other one is out of sight for that scope.
  // Allocates twice. Throws std::bad_alloc, and what making the value throws.
  // Complexity: linear in the keys.
  template <class T, class U = T>
    requires(std::constructible_from<T, U>)
  [[nodiscard]] context with(const context_key<T>& key, U&& value) const {
    return context(detail::extended(node_, new entry<T>(key, std::forward<U>(value))));
  }

  // The value of the key, or null. Good as long as any context has it.
  // Complexity: linear in the keys; contexts have few.
  template <class T>
  const T* find(const context_key<T>& key) const noexcept {
    return static_cast<const T*>(detail::find_in(node_, key));
  }
  // The same, or the key's otherwise(), which is good as long as the key.
  template <class T>
  const T& get(const context_key<T>& key) const noexcept {
    const T* const found = find(key);
    return found != nullptr ? *found : key.otherwise();
  }

  std::size_t size() const noexcept { return detail::entries_of(node_).size; }
  bool empty() const noexcept { return size() == 0; }

  // Calls f(std::string_view name, std::string_view text) for each value, in the order in which the
  // keys came. Text is made of strings, numbers, enumerations, bool, and what has a
  // to_string(const T&) beside it; of other types it is "?".
  // Throws std::bad_alloc, and what f or to_string throws.
  template <class F>
    requires(std::invocable<F&, std::string_view, std::string_view>)
  void for_each(F f) const {
    const detail::context_entries all = detail::entries_of(node_);
    for (std::size_t i = 0; i < all.size; ++i) {
      const detail::context_key_base& key = all.first[i]->key();
      f(std::string_view(key.name), std::string_view(key.text(all.first[i]->value())));
    }
  }
  // "request=17 user=ann", for logs. Throws as for_each.
  std::string text() const { return detail::text_of(node_); }

  // For executors. Borrowed; null when it was made from nothing.
  context_ref get() const noexcept { return node_; }

 private:
  struct counted_from_now {};

  template <class T>
  struct entry final : detail::context_entry {
    template <class U>
    entry(const context_key<T>& key, U&& v)
        : context_entry(key, &value, &destroy), value(std::forward<U>(v)) {}
    static void destroy(context_entry* e) noexcept { delete static_cast<entry*>(e); }

    const T value;
  };

  explicit context(context_ref counted) noexcept : node_(counted) {}
  context(context_ref borrowed, counted_from_now) noexcept : node_(borrowed) {
    if (node_ != nullptr) node_->retain(node_);
  }

  context_ref node_ = nullptr;
};

// Puts a context in place on the calling thread for a scope, and the one before back at its end.
// Scopes nest. In a coro::task it lasts across co_await, wherever that goes on; in coroutines of
// other libraries it is to end before that.
class scoped_context {
 public:
  explicit scoped_context(context inside) noexcept
      : inside_(std::move(inside)), around_(inside_.get()) {}
  // What is in place, and a value more. Throws as context::with.
  template <class T, class U = T>
    requires(std::constructible_from<T, U>)
  scoped_context(const context_key<T>& key, U&& value)
      : scoped_context(context::current().with(key, std::forward<U>(value))) {}
  scoped_context(const scoped_context&) = delete;
  scoped_context& operator=(const scoped_context&) = delete;

 private:
  const context inside_;
  const context_scope around_;
};

// f, to be called in the context that is in place now: for threads and callbacks that Heddle does
// not know of. Copies of it share the context.
//
//   std::thread(heddle::in_current_context([&] { work(); }))
//
// Throws what copying or moving f throws; std::invalid_argument when it is null.
template <class F>
auto in_current_context(F&& f) {
  detail::require_callable(f, "in_current_context");
  return [inside = context::current(),
          f = std::forward<F>(f)]<class... Args>(Args&&... args) mutable -> decltype(auto)
           requires(std::invocable<std::decay_t<F>&, Args...>)
  {
    const context_scope around(inside.get());
    return detail::invoke(f, std::forward<Args>(args)...);
  };
}

namespace detail {

template <class T>
std::string context_text(const void* value) {
  const T& v = *static_cast<const T*>(value);
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return std::string(std::string_view(v));
  } else if constexpr (std::is_same_v<T, bool>) {
    return v ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    return std::string(1, v);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(v);
  } else if constexpr (requires {
                         { to_string(v) } -> std::convertible_to<std::string>;
                       }) {
    return to_string(v);
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(v));
  } else {
    return "?";
  }
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
