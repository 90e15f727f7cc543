// An owned callable that is called any number of times: std::function without <functional>, and
// without copies.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Empty hooks may be asked (operator bool) but not called.
// Thread-safety: that of the callable. Allocates one cell when made from a callable.
template <class... Args>
class hook {
 public:
  hook() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, hook> &&
             std::invocable<std::decay_t<F>&, Args...>)
  hook(F&& f) : callable_(std::make_unique<holder<std::decay_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const noexcept { return callable_ != nullptr; }
  void operator()(Args... args) const { callable_->call(std::forward<Args>(args)...); }

 private:
  struct base {
    virtual ~base() = default;
    virtual void call(Args... args) = 0;
  };
  template <class F>
  struct holder final : base {
    template <class G>
    explicit holder(G&& g) : function(std::forward<G>(g)) {}
    void call(Args... args) override { function(std::forward<Args>(args)...); }
    F function;
  };

  std::unique_ptr<base> callable_;
};

}  // namespace heddle::inline HEDDLE_ABI
