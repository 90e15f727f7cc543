// Results of a function over a range, computed by an executor, read in order.
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
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
  // Throws the task's exception, and the next call goes on behind it; would_starve, and the next
  // call tries again; when the results of what was submitted are all given out, what the range and
  // submit throw.
  std::optional<value_type> next() {
    if (!begun_) {
      position_.emplace(std::ranges::begin(view_));
      begun_ = true;
    }
    if (failed_ == nullptr) {
      try {
        fill();
      } catch (...) {
        failed_ = std::current_exception();
      }
    }
    if (tasks_.empty()) {
      if (failed_ != nullptr) std::rethrow_exception(std::exchange(failed_, nullptr));
      return std::nullopt;
    }
    const drop_when_read drop{tasks_};
    return tasks_.front().get();
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
  // How an element travels: by reference when the range lends one and can be walked again. A
  // single-pass range may put its next element in the place of this one, so that is copied.
  template <class E>
  struct lent {
    std::remove_reference_t<E>* value;
    explicit lent(E&& e) : value(std::addressof(e)) {}
    E take() { return static_cast<E>(*value); }
  };
  template <class E>
  struct copied {
    std::remove_cvref_t<E> value;
    explicit copied(E&& e) : value(std::forward<E>(e)) {}
    E take() { return static_cast<E&&>(value); }
  };
  using carried =
      std::conditional_t<std::is_reference_v<element> && std::ranges::forward_range<View>,
                         lent<element>, copied<element>>;

  // A wait that throws would_starve leaves the future unread, and it must be kept: its task refers
  // to this view.
  struct drop_when_read {
    std::deque<future<value_type>>& tasks;
    ~drop_when_read() {
      if (!tasks.front().valid()) tasks.pop_front();
    }
  };

  void fill() {
    while (tasks_.size() < most_) {
      if (submitted_) {
        ++*position_;
        submitted_ = false;
      }
      if (*position_ == std::ranges::end(view_)) return;
      tasks_.emplace_back();
      try {
        tasks_.back() = pool_.submit([this, e = carried(**position_)]() mutable -> value_type {
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
      submitted_ = true;
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
  bool submitted_ = false;     // the element at position_
  std::exception_ptr failed_;  // of filling; thrown behind the results of what was submitted
  std::optional<std::ranges::iterator_t<View>> position_;
  std::deque<future<value_type>> tasks_;
  std::optional<value_type> current_;
};

}  // namespace heddle::inline HEDDLE_ABI
