// Functions that remember what they have returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heddle/data/cache.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

struct tuple_hash {
  template <class... T>
  std::size_t operator()(const std::tuple<T...>& values) const {
    std::uint64_t all = sizeof...(T);
    std::apply(
        [&](const T&... value) {
          ((all = mixed(all ^ std::uint64_t{std::hash<T>()(value)})), ...);
        },
        values);
    return all;
  }
};

// Text that somebody else owns, and may change or free.
template <class T>
inline constexpr bool borrows_text = false;
template <class C, class Traits>
inline constexpr bool borrows_text<std::basic_string_view<C, Traits>> = true;
template <>
inline constexpr bool borrows_text<const char*> = true;
template <>
inline constexpr bool borrows_text<char*> = true;

// What a call is known by: the argument, or a tuple of several.
template <class... T>
struct call_key {
  using type = std::tuple<T...>;
  using hash = tuple_hash;
};
template <class T>
struct call_key<T> {
  using type = T;
  using hash = std::hash<T>;
};

template <class F>
struct signature_of;
template <class S>
struct signature_of<std::function<S>> {
  using type = S;
};
template <class F>
using deduced_signature = typename signature_of<decltype(std::function{std::declval<F>()})>::type;

}  // namespace detail

template <class Signature, class F>
class memoized;

// A pure function with a cache<> before it: see memoize. Its calls are get_or_compute of that
// cache, with all that is said there of several threads, exceptions and recursion.
template <class R, class... A, class F>
class memoized<R(A...), F> {
  static_assert(std::is_same_v<R, std::decay_t<R>> && !std::is_void_v<R>,
                "a memoized function returns a value, of which copies are made");
  static_assert(!(detail::borrows_text<std::decay_t<A>> || ...),
                "arguments are kept: take a std::string instead of a view of one");
  using key_of_call = detail::call_key<std::decay_t<A>...>;
  using key = typename key_of_call::type;

 public:
  explicit memoized(F f, std::size_t capacity) : function_(std::move(f)), results_(capacity) {}
  memoized(const memoized&) = delete;
  memoized& operator=(const memoized&) = delete;

  // What the function returned for equal arguments, or returns now.
  R operator()(A... arguments) {
    const key k(std::forward<A>(arguments)...);
    // What was kept for a NaN would never be found, and, coming again and again, push out others.
    if constexpr ((std::is_floating_point_v<std::decay_t<A>> || ...)) {
      if (!(k == k)) [[unlikely]]
        return call(k);
    }
    return results_.get_or_compute(k, [&] { return call(k); });
  }

  void clear() { results_.clear(); }
  cache_statistics statistics() const { return results_.statistics(); }

 private:
  R call(const key& k) {
    const auto with = [&](const std::decay_t<A>&... arguments) -> R {
      if constexpr (std::is_invocable_r_v<R, F&, const std::decay_t<A>&...>) {
        return std::invoke(function_, arguments...);
      } else {
        static_assert(std::is_invocable_r_v<R, F&, memoized&, const std::decay_t<A>&...>,
                      "a memoized function takes its arguments by value or const reference");
        return std::invoke(function_, *this, arguments...);
      }
    };
    if constexpr (sizeof...(A) == 1) {
      return with(k);
    } else {
      return std::apply(with, k);
    }
  }

  [[no_unique_address]] F function_;
  cache<key, R, typename key_of_call::hash> results_;
};

// A function that calls f once for equal arguments, as long as it remembers the result: `capacity`
// of them, chosen as a cache<> does. Several threads may call it; f is then called by several,
// never by two with equal arguments at a time.
//
//   auto weight_of = heddle::memoize([](const std::string& part, int size) { ... });
//
// A recursive function gets the memoized one as its first argument, and names its signature:
//
//   auto fibonacci = heddle::memoize<long(int)>(
//       [](auto& self, int n) -> long { return n < 2 ? n : self(n - 1) + self(n - 2); });
//
// Requires: f is pure, so that nobody can tell a remembered result from a new one. Its arguments,
// decayed, are copyable, comparable by == and hashable by std::hash; its result is a copyable
// value. A call with a NaN is never remembered, nor counted; nor are those found whose arguments
// are of other types and do not equal themselves, but they take room until they are evicted.
// Throws what f throws, to all who wait for that call; nothing is remembered then. A call that
// needs itself: recursive_computation.
template <class F>
  requires(!std::is_function_v<F>)
memoized<detail::deduced_signature<F>, F> memoize(F f, std::size_t capacity = 10'000) {
  return memoized<detail::deduced_signature<F>, F>(std::move(f), capacity);
}
template <class Signature, class F>
  requires std::is_function_v<Signature>
memoized<Signature, F> memoize(F f, std::size_t capacity = 10'000) {
  return memoized<Signature, F>(std::move(f), capacity);
}

}  // namespace heddle::inline HEDDLE_ABI
