// Results of a function over a range, computed by an executor, read in order.
#pragma once

#include <cstddef>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <heddle/future/future.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// What thread_pool::map returns: a single-pass view that keeps a bounded number of tasks in flight.
//
// Thread-safety: used by one thread at a time. Not movable: running tasks refer to it.
// Memory: in proportion to the tasks in flight, whatever the length of the range.
template <class Pool, class F, std::ranges::input_range View>
class ordered_map {
  using element = std::ranges::range_reference_t<View>;
  using raw_result = std::invoke_result_t<F&, element>;

 public:
  using value_type =
      std::conditional_t<std::is_void_v<raw_result>, detail::no_value, std::decay_t<raw_result>>;

  ordered_map(Pool& pool, F f, View view, std::size_t in_flight)
      : pool_(pool), function_(std::move(f)), view_(std::move(view)), most_(in_flight) {}
  ordered_map(const ordered_map&) = delete;
  ordered_map& operator=(const ordered_map&) = delete;
  ~ordered_map() { stop(); }

  // The next result, or nothing after the last. Blocks; on a worker it may run the task itself.
  // Throws the task's exception, and what the range and submit throw; the next call goes on behind.
  std::optional<value_type> next() {
    if (!begun_) {
      position_.emplace(std::ranges::begin(view_));
      begun_ = true;
    }
    fill();
    if (tasks_.empty()) return std::nullopt;
    future<value_type> first = std::move(tasks_.front());
    tasks_.pop_front();
    return first.get();
  }

  class iterator {
   public:
    using value_type = ordered_map::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    iterator() = default;
    explicit iterator(ordered_map& map) : map_(&map) { ++*this; }

    value_type& operator*() const { return *map_->current_; }
    value_type* operator->() const { return std::addressof(*map_->current_); }
    iterator& operator++() {
      map_->current_.reset();
      map_->current_ = map_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
      return it.at_end();
    }

   private:
    bool at_end() const noexcept { return map_ == nullptr || !map_->current_.has_value(); }

    ordered_map* map_ = nullptr;
  };

  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  // How an element travels: by reference when the range lends one, else by value.
  template <class E>
  struct carried {
    E value;
    explicit carried(E&& e) : value(std::forward<E>(e)) {}
    E take() { return std::forward<E>(value); }
  };
  template <class E>
  struct carried<E&> {
    E* value;
    explicit carried(E& e) : value(std::addressof(e)) {}
    E& take() { return *value; }
  };

  void fill() {
    while (tasks_.size() < most_ && *position_ != std::ranges::end(view_)) {
      tasks_.emplace_back();
      try {
        tasks_.back() =
            pool_.submit([this, e = carried<element>(**position_)]() mutable -> value_type {
              if constexpr (std::is_void_v<raw_result>) {
                function_(e.take());
                return {};
              } else {
                return function_(e.take());
              }
            });
      } catch (...) {
        tasks_.pop_back();
        throw;
      }
      ++*position_;
    }
  }

  void stop() noexcept {
    for (auto& t : tasks_) t.cancel();
    for (auto& t : tasks_) detail::access::await_regardless(t);
  }

  Pool& pool_;
  F function_;
  View view_;
  const std::size_t most_;
  bool begun_ = false;
  std::optional<std::ranges::iterator_t<View>> position_;
  std::deque<future<value_type>> tasks_;
  std::optional<value_type> current_;
};

}  // namespace heddle::inline HEDDLE_ABI
