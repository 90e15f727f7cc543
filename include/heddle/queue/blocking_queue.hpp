// The interface of bounded_queue and priority_queue, which differ in where they keep their items.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_statistics.hpp>
#include <heddle/queue/queue_core.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// What one can do with a blocking queue; users name bounded_queue or priority_queue.
//
// Items of type T: may be move-only, over-aligned, without a default constructor. One whose move
// throws stays where it was: a put has then put nothing, a get leaves the item in the queue, for
// the next one. Destroying a T must not throw.
//
// The end: after close() puts are refused, gets go on until the queue is empty, and then are told.
// Each put that returned true has its item taken by a get, or left to the destructor; none that
// returned false, or threw, has. A put or get that runs beside close() is before or after it.
//
// Thread-safety: everything by any thread, except destruction.
// Memory ordering: what happened before a put happened before the return of the get that has its
// item; what happened before close(), before a call returns that was told of the end; what happened
// before task_done(), before the join that it let through.
// Blocks? As told. A worker that waits lets its pool put a spare worker in its place. Waits spin
// briefly, then sleep; sleepers are woken in the order in which they came, but one who comes as an
// item (or room) appears may overtake them. The others wait at most for a put or get that is in the
// middle of moving its item, as one waits for a short lock. No call is made with a lock held, but
// T's move where that may throw, and a priority_queue's comparisons: these must not use the queue.
// Throws: waits throw would_starve as blocking_region does; then nothing was put or taken.
// Limits: a call with a deadline, or a stop, tries at least once, also when that has passed.
// Destruction: destroys what is left. Nobody is inside a call; but a close() whose end somebody was
// told of, and a task_done() that has let a join through, do not count, even when they have not
// returned. After fork: of no use in the child when threads were inside a call.
template <class Items>
class blocking_queue {
  using T = typename Items::value_type;
  using outcome = detail::queue_outcome;
  using side = detail::queue_side;
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>,
                "an item has to get into the queue and out of it");
  static_assert(std::is_nothrow_destructible_v<T>, "destroying an item must not throw");

 public:
  using value_type = T;

  blocking_queue(const blocking_queue&) = delete;
  blocking_queue& operator=(const blocking_queue&) = delete;

  // Puts a T made from the item when there is room for it. False when it was not put: the queue is
  // closed; for the others also because a stop was requested, there is no room, or the deadline
  // passed. An item of type T then is as it was before. (Anything else was made into a T first.)
  // Throws what making a T throws.
  template <class U = T>
    requires std::convertible_to<U, T>
  bool put(U&& item) {
    return put_within(std::forward<U>(item), &no_limit);
  }
  template <class U = T>
    requires std::convertible_to<U, T>
  [[nodiscard]] bool put(U&& item, const prim::stop_token& stop) {
    const wait_limit limit(stop);
    return put_within(std::forward<U>(item), &limit);
  }
  template <class U = T>
    requires std::convertible_to<U, T>
  [[nodiscard]] bool try_put(U&& item) {
    if (core_.closed() || core_.is_full(core_.tail().at())) return refuse();
    return put_within(std::forward<U>(item), nullptr);
  }
  template <class U = T>
    requires std::convertible_to<U, T>
  [[nodiscard]] bool try_put_until(U&& item, prim::time_point deadline,
                                   const prim::stop_token& stop = {}) {
    const wait_limit limit(stop, deadline);
    return put_within(std::forward<U>(item), &limit);
  }
  template <class U = T, class Rep, class Period>
    requires std::convertible_to<U, T>
  [[nodiscard]] bool try_put_for(U&& item, std::chrono::duration<Rep, Period> timeout,
                                 const prim::stop_token& stop = {}) {
    return try_put_until(std::forward<U>(item), prim::deadline_after(timeout), stop);
  }

  // Takes the next item when there is one. Nothing when the queue is closed and drained; for the
  // others also because a stop was requested, there is no item, or the deadline passed.
  std::optional<T> get() { return get_within(&no_limit); }
  std::optional<T> get(const prim::stop_token& stop) {
    const wait_limit limit(stop);
    return get_within(&limit);
  }
  std::optional<T> try_get() { return get_within(nullptr); }
  std::optional<T> try_get_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    const wait_limit limit(stop, deadline);
    return get_within(&limit);
  }
  template <class Rep, class Period>
  std::optional<T> try_get_for(std::chrono::duration<Rep, Period> timeout,
                               const prim::stop_token& stop = {}) {
    return try_get_until(prim::deadline_after(timeout), stop);
  }

  // Puts *first, *++first and so on, `count` of them, in portions for which there is room, between
  // which others may put theirs. Returns how many were put: fewer when the queue was closed, or a
  // stop was requested, or the deadline passed; try_put_n waits for nothing. What was not put is as
  // it was before, if *first is a T. (Anything else may have been made into a T first.)
  // Throws what making a T from *first throws; those before it have been put then. Requires: the
  // iterator itself does not throw.
  template <std::input_iterator Iterator>
  std::size_t put_n(Iterator first, std::size_t count, const prim::stop_token& stop = {}) {
    const wait_limit limit(stop);
    return put_all_within(first, count, &limit);
  }
  template <std::input_iterator Iterator>
  [[nodiscard]] std::size_t try_put_n(Iterator first, std::size_t count) {
    return put_all_within(first, count, nullptr);
  }
  template <std::input_iterator Iterator>
  [[nodiscard]] std::size_t try_put_n_until(Iterator first, std::size_t count,
                                            prim::time_point deadline,
                                            const prim::stop_token& stop = {}) {
    const wait_limit limit(stop, deadline);
    return put_all_within(first, count, &limit);
  }
  template <std::input_iterator Iterator, class Rep, class Period>
  [[nodiscard]] std::size_t try_put_n_for(Iterator first, std::size_t count,
                                          std::chrono::duration<Rep, Period> timeout,
                                          const prim::stop_token& stop = {}) {
    return try_put_n_until(first, count, prim::deadline_after(timeout), stop);
  }
  // The same with what is in a container, array or span.
  template <class Range>
  std::size_t put_range(Range&& range, const prim::stop_token& stop = {}) {
    return put_n(std::begin(range), static_cast<std::size_t>(std::size(range)), stop);
  }

  // Takes what is there, `most` items at most, but at least one: waits for that as get does.
  // Assigns them to *out, *++out and so on and returns how many, or returns them. None as get.
  // An item whose move throws ends the batch and stays in the queue; the exception is thrown when
  // the batch is empty, else left to the next get.
  // Requires: the output iterator does not throw, nor does assigning to *out, if T moves without
  // throwing. The vector is allocated before, for min(most, capacity()). Throws std::bad_alloc.
  template <class Output>
  std::size_t get_n(Output out, std::size_t most, const prim::stop_token& stop = {}) {
    const wait_limit limit(stop);
    return get_all_within(assign_to(out), most, &limit);
  }
  std::vector<T> get_n(std::size_t most, const prim::stop_token& stop = {}) {
    const wait_limit limit(stop);
    return get_vector_within(most, &limit);
  }
  template <class Output>
  std::size_t try_get_n(Output out, std::size_t most) {
    return get_all_within(assign_to(out), most, nullptr);
  }
  std::vector<T> try_get_n(std::size_t most) { return get_vector_within(most, nullptr); }
  template <class Output>
  std::size_t try_get_n_until(Output out, std::size_t most, prim::time_point deadline,
                              const prim::stop_token& stop = {}) {
    const wait_limit limit(stop, deadline);
    return get_all_within(assign_to(out), most, &limit);
  }
  template <class Output, class Rep, class Period>
  std::size_t try_get_n_for(Output out, std::size_t most,
                            std::chrono::duration<Rep, Period> timeout,
                            const prim::stop_token& stop = {}) {
    return try_get_n_until(out, most, prim::deadline_after(timeout), stop);
  }

  // for (T& item : queue): takes item after item until the queue is closed and drained. Several
  // threads may do so; each item goes to one of them.
  class iterator;
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  // Refuses puts from now on, and wakes all who wait. Again: nothing. Never blocks.
  void close() noexcept { core_.close(); }
  bool closed() const noexcept { return core_.closed(); }

  // n of the items that were taken are done with. Throws std::invalid_argument when fewer than n
  // were taken and not done; nothing has changed then.
  void task_done(std::size_t n = 1) { core_.task_done(n); }
  // Waits until each item that was put is done. False when a stop was requested, or the deadline
  // passed, first.
  void join() { core_.join(no_limit); }
  [[nodiscard]] bool join(const prim::stop_token& stop) { return core_.join(wait_limit(stop)); }
  [[nodiscard]] bool join_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return core_.join(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  [[nodiscard]] bool join_for(std::chrono::duration<Rep, Period> timeout,
                              const prim::stop_token& stop = {}) {
    return join_until(prim::deadline_after(timeout), stop);
  }

  // At this moment; items that are being put or taken may count.
  std::size_t length() const noexcept { return core_.length(); }
  bool empty() const noexcept { return length() == 0; }
  std::size_t capacity() const noexcept { return core_.positions().capacity(); }
  // The greatest length that a put has seen. Beside gets it may miss a moment.
  std::size_t peak() const noexcept { return core_.peak(); }
  // Since the queue was made.
  std::uint64_t total_put() const noexcept { return core_.total_put(); }
  std::uint64_t total_taken() const noexcept { return core_.total_taken(); }

  // Records puts and gets of this queue, and their waits, whatever the process records.
  // Throws std::bad_alloc.
  void record(lock_recording what) { core_.record(what); }
  // Null when it has none.
  const char* name() const noexcept { return core_.probe(side::get).name(); }
  lock_statistics put_statistics() const { return core_.probe(side::put).statistics(); }
  lock_statistics get_statistics() const { return core_.probe(side::get).statistics(); }

 protected:
  template <class... Args>
  blocking_queue(const char* kind, std::size_t capacity, std::string_view name, Args&&... args)
      : core_(kind, capacity, name), items_(core_, std::forward<Args>(args)...) {}
  ~blocking_queue() { items_.destroy(core_); }

 private:
  static constexpr wait_limit no_limit{};

  // Tries, and if it has a limit and there is nothing now, waits and tries again.
  template <class Attempt>
  bool pass(side where, const wait_limit* limit, Attempt attempt) {
    outcome result = attempt(true);
    if (result == outcome::done) {
      if (core_.probe(where).active()) [[unlikely]] {
        core_.probe(where).passed();
        core_.note_user(where);
      }
      return true;
    }
    if (result == outcome::not_now) {
      if (limit == nullptr) return false;
      result = pass_slowly(where, *limit, attempt);
    }
    return result == outcome::closed ? refuse() : result == outcome::done;
  }

  template <class Attempt>
  [[gnu::noinline]] outcome pass_slowly(side where, const wait_limit& limit, Attempt& attempt) {
    if (limit.over()) return outcome::not_now;
    detail::queue_wait wait(core_, where, limit);
    outcome result = outcome::not_now;
    while (result == outcome::not_now && wait.again()) result = attempt(wait.is_sleepy());
    if (result == outcome::done) wait.passed();
    return result;
  }

  // The caller is told of the end.
  bool refuse() noexcept {
    if (core_.closed()) core_.meet_closer();
    return false;
  }

  template <class U>
  bool put_within(U&& item, const wait_limit* limit) {
    if constexpr (std::is_same_v<U, T>) {
      return pass(side::put, limit,
                  [&](bool sleepy) { return items_.put(core_, std::forward<U>(item), sleepy); });
    } else {
      T made(std::forward<U>(item));
      return put_within(std::move(made), limit);
    }
  }

  std::optional<T> get_within(const wait_limit* limit) {
    std::optional<T> item;
    pass(side::get, limit, [&](bool sleepy) {
      std::size_t one = 1;
      return items_.take_some(core_, one, sleepy,
                              [&](T&& oldest) { item.emplace(std::move(oldest)); });
    });
    return item;
  }

  template <class Iterator>
  std::size_t put_all_within(Iterator& first, std::size_t count, const wait_limit* limit) {
    std::size_t left = count;
    if constexpr (Items::in_batches && std::is_nothrow_constructible_v<T, decltype(*first)>) {
      const auto item_of = [](Iterator& at) noexcept -> decltype(auto) { return *at; };
      while (left > 0) {
        const std::size_t before = left;
        const bool more = pass(side::put, limit, [&](bool sleepy) {
          return items_.put_some(core_, first, left, sleepy, item_of);
        });
        if (!more) break;
        core_.note_passed(side::put, before - left - 1);
      }
    } else {
      for (; left > 0 && put_within(*first, limit); --left) ++first;
    }
    return count - left;
  }

  // What take_some gives each item to.
  template <class Output>
  static auto assign_to(Output& out) {
    static_assert(!Items::in_batches || std::is_nothrow_assignable_v<decltype(*out), T>,
                  "what was claimed cannot be given back: give room that is there already");
    return [&out](T&& item) {
      *out = std::move(item);
      ++out;
    };
  }

  template <class F>
  std::size_t get_all_within(F f, std::size_t most, const wait_limit* limit) {
    std::size_t got = 0;
    const auto attempt = [&](bool sleepy) {
      std::size_t count = most - got;
      const outcome result = items_.take_some(core_, count, sleepy, f);
      got += count;
      return result;
    };
    if (most == 0 || !pass(side::get, limit, attempt)) return 0;
    try {
      while (!Items::in_batches && got < most && attempt(true) == outcome::done) {
      }
    } catch (...) {  // the item has stayed
    }
    core_.note_passed(side::get, got - 1);
    return got;
  }

  std::vector<T> get_vector_within(std::size_t most, const wait_limit* limit) {
    std::vector<T> items;
    items.reserve(std::min(most, capacity()));
    get_all_within([&](T&& item) { items.push_back(std::move(item)); },
                   std::min(most, items.capacity()), limit);
    return items;
  }

  detail::queue_core core_;
  Items items_;
};

// Holds the item that it stands at. For loops over a range, and nothing else.
template <class Items>
class blocking_queue<Items>::iterator {
 public:
  T& operator*() noexcept { return *item_; }
  T* operator->() noexcept { return &*item_; }
  iterator& operator++() {
    item_.reset();
    queue_->pass(side::get, &no_limit, [this](bool sleepy) {
      std::size_t one = 1;
      return queue_->items_.take_some(queue_->core_, one, sleepy,
                                      [this](T&& next) { item_.emplace(std::move(next)); });
    });
    return *this;
  }
  bool operator==(std::default_sentinel_t) const noexcept { return !item_.has_value(); }

 private:
  friend class blocking_queue;
  explicit iterator(blocking_queue& queue) : queue_(&queue), item_(queue.get()) {}

  blocking_queue* queue_;
  std::optional<T> item_;
};

}  // namespace heddle::inline HEDDLE_ABI
