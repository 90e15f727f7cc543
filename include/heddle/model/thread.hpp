// The modelled half of <heddle/prim/thread.hpp>.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

class thread_id {
 public:
  constexpr thread_id() noexcept = default;
  friend constexpr auto operator<=>(thread_id, thread_id) noexcept = default;
  // For std::hash.
  constexpr unsigned number() const noexcept { return number_; }

 private:
  friend class thread;
  friend thread_id this_thread_id() noexcept;
  constexpr explicit thread_id(unsigned index) noexcept : number_(index + 1) {}
  constexpr unsigned index() const noexcept { return number_ - 1; }

  unsigned number_ = 0;
};

inline thread_id this_thread_id() noexcept { return thread_id(model::detail::current_thread()); }

// std::thread as a fiber. That no thread can be started is a choice, counted among the allocation
// failures.
class thread {
  using where = model::detail::where;

 public:
  using id = thread_id;

  thread() noexcept = default;
  template <class F, class... Args>
    requires(!std::is_same_v<std::remove_cvref_t<F>, thread>)
  explicit thread(F&& f, Args&&... args) {
    using call = std::tuple<std::decay_t<F>, std::decay_t<Args>...>;
    constexpr bool fits = sizeof(call) <= model::detail::callable_room && alignof(call) <= 64;
    using held = std::conditional_t<fits, call, std::unique_ptr<call>>;
    const unsigned index = model::detail::prepare_thread(where::current());
    void* const memory = model::detail::callable_memory(index);
    try {
      if constexpr (fits) {
        ::new (memory) held(std::forward<F>(f), std::forward<Args>(args)...);
      } else {
        ::new (memory)
            held(std::make_unique<call>(std::forward<F>(f), std::forward<Args>(args)...));
      }
    } catch (...) {
      model::detail::forget_thread(index);
      throw;
    }
    id_ = thread_id(index);
    model::detail::start_thread(index, [](void* there) {
      // It dies on its own thread, after the call.
      held* const given = static_cast<held*>(there);
      const std::unique_ptr<held, void (*)(held*)> guard(given, [](held* h) { h->~held(); });
      call* c;
      if constexpr (fits) {
        c = given;
      } else {
        c = given->get();
      }
      std::apply([](auto&... parts) { std::invoke(std::move(parts)...); }, *c);
    });
  }
  thread(thread&& other) noexcept : id_(std::exchange(other.id_, {})) {}
  thread& operator=(thread&& other) noexcept {
    refuse_joinable();
    id_ = std::exchange(other.id_, {});
    return *this;
  }
  ~thread() { refuse_joinable(); }

  void swap(thread& other) noexcept { std::swap(id_, other.id_); }
  bool joinable() const noexcept { return id_ != thread_id(); }
  id get_id() const noexcept { return id_; }
  void join(where w = where::current()) {
    if (!joinable()) model::detail::misuse("join of a thread that is not joinable", w);
    model::detail::join_thread(id_.index(), w);
    id_ = {};
  }
  void detach(where w = where::current()) {
    if (!joinable()) model::detail::misuse("detach of a thread that is not joinable", w);
    model::detail::detach_thread(id_.index());
    id_ = {};
  }

  static unsigned hardware_concurrency() noexcept { return 2; }

 private:
  void refuse_joinable() const noexcept {
    if (joinable() && model::detail::executing) {
      model::detail::misuse("std::terminate: the object of a joinable thread ends");
    }
  }

  thread_id id_;
};

// Both let every other thread that can run take a step before this one goes on: whoever spins waits
// for the others.
inline void yield(model::detail::where w = model::detail::where::current()) noexcept {
  if (model::detail::executing) model::detail::yield(w);
}
inline void nap(model::detail::where w = model::detail::where::current()) noexcept { yield(w); }
inline void pause(model::detail::where w = model::detail::where::current()) noexcept {
  if (model::detail::executing) model::detail::yield(w);
}

// The stacks of modelled threads are the checker's.
struct stack_bounds {
  std::uintptr_t end = 0;
  std::size_t size = 0;
};
inline stack_bounds bounds_of_stack() noexcept { return {}; }

inline void set_thread_name(std::string_view) noexcept {}
inline int kernel_thread_id() noexcept {
  return static_cast<int>(model::detail::current_thread()) + 1;
}

}  // namespace heddle::inline HEDDLE_ABI::prim

template <>
struct std::hash<heddle::prim::thread_id> {
  std::size_t operator()(heddle::prim::thread_id id) const noexcept { return id.number(); }
};
