// What parallel_for and its kin have in common: their options, where they run, and the loop itself,
// which is no template.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/exec/standing.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

class thread_pool;

struct loop_options {
  // A piece of so many elements, or fewer, is not divided, and every other piece may be, at once.
  // 0: found by itself. The caller does the first elements alone and looks how long they take;
  // only a rest that is worth the waking of another thread is divided, in pieces of some
  // microseconds. A loop of few, long elements is better told: with a grain of 1 nobody has to see
  // the first one end before the second can begin.
  std::size_t grain = 0;
};

// Where an algorithm may be told to run: a thread_pool, any other executor, or the reference to
// one.
template <class E>
concept runs_loops =
    std::same_as<std::remove_cvref_t<E>, executor_ref> || executor<std::remove_reference_t<E>>;

// What parallel_for counts with.
template <class I>
concept loop_index = (std::integral<I> && !std::same_as<std::remove_cv_t<I>, bool>) ||
                     std::random_access_iterator<I>;

// What algorithms take as input: elements that can be reached by number.
template <class R>
concept loop_range = std::ranges::random_access_range<R> && std::ranges::sized_range<R>;

namespace detail {

// No pool and no executor: the pool of the calling worker, or the default pool.
class loop_place {
 public:
  loop_place() noexcept = default;
  template <runs_loops E>
  explicit loop_place(E& where) {
    if constexpr (std::same_as<E, thread_pool>) {
      pool_ = &where;
    } else if constexpr (std::same_as<std::remove_cv_t<E>, executor_ref>) {
      if (!where) throw std::invalid_argument("a parallel algorithm: no executor");
      executor_ = where;
    } else {
      executor_ = where.executor();
    }
  }

  thread_pool* pool() const noexcept { return pool_; }
  executor_ref executor() const noexcept { return executor_; }

 private:
  thread_pool* pool_ = nullptr;
  executor_ref executor_{};
};

// What a loop makes beside its elements: the result of some elements in a row. The thread that does
// them owns it.
class HEDDLE_API loop_part {
 public:
  loop_part() = default;
  virtual ~loop_part();
  loop_part(const loop_part&) = delete;
  loop_part& operator=(const loop_part&) = delete;

 private:
  friend class executor_loop;
  std::size_t first_ = 0;
  loop_part* next_ = nullptr;
};

// What a loop does. Every member may be called by several threads at once, but for a part by one.
class HEDDLE_API loop_work {
 public:
  // The elements from `first` to `last` - 1, of which there is at least one; they are behind all
  // that the part has already. Without parts `into` is null.
  virtual void run(loop_part* into, std::size_t first, std::size_t last) = 0;
  // A part for elements that another thread, or a job of an executor, has taken; and for those that
  // are behind such elements.
  virtual std::unique_ptr<loop_part> new_part();
  // What is in `right` is behind what is in `left`.
  virtual void append(loop_part& left, loop_part& right);

 protected:
  loop_work() = default;
  ~loop_work() = default;
};

// Does the elements from 0 to `count` - 1, each once, unless one throws: then the first exception
// comes out when nothing of the loop runs any more, and others go to the unhandled handler. `part`
// is the leftmost one, or null for a loop without.
// Throws that, would_starve, and for a part std::bad_alloc.
HEDDLE_API void run_loop(loop_work& work, std::size_t count, loop_part* part, loop_options options,
                         const loop_place& where);

// Calls call(context), which makes several loops there, once, on a thread that has no way to go for
// each of them. Throws what it throws, and would_starve.
HEDDLE_API void call_at(const loop_place& where, void (*call)(void*), void* context);

template <class F>
void call_at(const loop_place& where, F&& f) {
  call_at(
      where, [](void* context) { (*static_cast<std::remove_reference_t<F>*>(context))(); },
      const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

// Whether there is nobody to share a loop with.
inline bool is_alone_at(const loop_place& where) noexcept {
  return !where.executor() && standing_in(where.pool()) == standing::only_worker;
}

// Whether the calling thread takes part in loops there from the beginning.
HEDDLE_API bool is_at(const loop_place& where) noexcept;

// Throw std::invalid_argument: for a range that ends `by` before it begins, and for a negative
// index where the other one is of an unsigned type.
[[noreturn]] HEDDLE_API void refuse_inverted(const char* operation, unsigned long long by);
[[noreturn]] HEDDLE_API void refuse_negative(const char* operation, long long first);

// Indices in a row, numbered from 0.
template <loop_index I>
struct index_row {
  I first;
  std::size_t count;

  I operator[](std::size_t number) const {
    if constexpr (std::integral<I>) {
      using modulo = std::make_unsigned_t<I>;
      return static_cast<I>(static_cast<modulo>(first) + static_cast<modulo>(number));
    } else {
      return first + static_cast<std::iter_difference_t<I>>(number);
    }
  }
};

// Throws std::invalid_argument, naming the operation, when `last` is before `first`.
template <loop_index I, loop_index J>
  requires(std::same_as<I, J> || (std::integral<I> && std::integral<J>))
auto make_index_row(I first, J last, const char* operation) {
  if constexpr (std::integral<I>) {
    using index = std::common_type_t<I, J>;
    using modulo = std::make_unsigned_t<index>;
    const auto from = static_cast<modulo>(first);
    const auto to = static_cast<modulo>(last);
    if (std::cmp_less(+last, +first)) refuse_inverted(operation, static_cast<modulo>(from - to));
    if (std::unsigned_integral<index> && std::cmp_less(+first, 0)) {
      refuse_negative(operation, static_cast<long long>(first));
    }
    return index_row<index>{static_cast<index>(first),
                            static_cast<std::size_t>(static_cast<modulo>(to - from))};
  } else {
    const auto count = last - first;
    if (count < 0) refuse_inverted(operation, -static_cast<unsigned long long>(count));
    return index_row<I>{first, static_cast<std::size_t>(count)};
  }
}

// The number of elements of a range. Throws std::invalid_argument, naming the operation, when the
// range ends before it begins; its own size() would be a huge number then.
template <std::ranges::sized_range R>
std::size_t size_of_range(R& range, const char* operation) {
  using iterator = std::ranges::iterator_t<R>;
  if constexpr (std::random_access_iterator<iterator> &&
                std::sized_sentinel_for<std::ranges::sentinel_t<R>, iterator>) {
    const auto count = std::ranges::end(range) - std::ranges::begin(range);
    if (count < 0) refuse_inverted(operation, -static_cast<unsigned long long>(count));
    return static_cast<std::size_t>(count);
  } else {
    return static_cast<std::size_t>(std::ranges::size(range));
  }
}

template <loop_range R>
auto make_index_row(R&& range, const char* operation) {
  const std::size_t count = size_of_range(range, operation);
  return index_row<std::ranges::iterator_t<R>>{std::ranges::begin(range), count};
}

}  // namespace detail
}  // namespace heddle::inline HEDDLE_ABI
