// What a task is called when somebody asks what a thread is doing.
#pragma once

#include <concepts>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heddle/base/invoke.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI {

// A callable with a name for reports. The name must live as long as the program: a literal.
template <class F>
struct named_callable {
  const char* name;
  F function;

  template <class... Args>
    requires std::invocable<F, Args...>
  decltype(auto) operator()(Args&&... args) && {
    return detail::invoke(std::move(function), std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<F&, Args...>
  decltype(auto) operator()(Args&&... args) & {
    return detail::invoke(function, std::forward<Args>(args)...);
  }
};

// pool.submit(named("resize", f)): reports and stack dumps say "resize" instead of the type of f.
template <class F>
named_callable<std::decay_t<F>> named(const char* name, F&& f) {
  return {name, std::forward<F>(f)};
}

namespace detail {

// The compiler's spelling of this function holds the type's name; it costs no run-time and needs no
// demangling.
template <class F>
constexpr const char* type_description() noexcept {
  return __PRETTY_FUNCTION__;
}

template <class F>
const char* task_name_of(const F&) noexcept {
  return type_description<F>();
}
template <class F>
const char* task_name_of(const named_callable<F>& callable) noexcept {
  return callable.name;
}

// Whoever wants to know what its thread is doing (a pool's worker) puts one of these into the
// thread's task_name slot; any thread may read it.
struct task_name_sink {
  prim::atomic<const char*> name{nullptr};
};

// Tells the thread's sink, if there is one, what runs inside this scope.
class task_name_scope {
 public:
  explicit task_name_scope(const char* name) noexcept
      : task_name_scope(name, prim::thread_value(prim::thread_slot::task_name)) {}
  task_name_scope(const char* name, void* sink) noexcept
      : sink_(static_cast<task_name_sink*>(sink)) {
    if (sink_ == nullptr) return;
    before_ = sink_->name.load(prim::relaxed);
    sink_->name.store(name, prim::relaxed);
  }
  ~task_name_scope() {
    if (sink_ != nullptr) sink_->name.store(before_, prim::relaxed);
  }
  task_name_scope(const task_name_scope&) = delete;
  task_name_scope& operator=(const task_name_scope&) = delete;

 private:
  task_name_sink* const sink_;
  const char* before_ = nullptr;
};

}  // namespace detail

// The part of a compiler's description that names the type: "main()::<lambda()>" out of
// "constexpr const char* ...type_description() [with F = main()::<lambda()>]". A name given by the
// user is returned as it is.
HEDDLE_API std::string_view readable_task_name(const char* name) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
