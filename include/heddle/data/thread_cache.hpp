// A cache for each thread, without locks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/unhandled.hpp>
#include <heddle/data/cache_counters.hpp>
#include <heddle/data/cache_options.hpp>
#include <heddle/data/cache_table.hpp>
#include <heddle/data/flight.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/per_thread.hpp>

namespace heddle::inline HEDDLE_ABI {

// All as in cache_options, of one thread's entries. Functions are called on any of the threads, by
// several at a time.
template <class K, class V>
struct thread_cache_options {
  using duration = prim::clock::duration;

  std::size_t capacity = 1'000;
  duration expire_after_write{0};
  duration expire_after_access{0};
  std::function<std::int64_t(const K&, const V&)> weigher = {};
  std::function<void(const K&, const V&, removal_cause)> on_removal = {};
  prim::time_point (*now)() = nullptr;
};

namespace detail {

// One thread's.
template <class K, class V, class Equal>
struct thread_cache_part {
  thread_cache_part(const cache_limits& limits, const Equal& equal) : entries(limits, equal) {}

  cache_table<K, V, Equal> entries;
  flight_list flights;
  owned_counter hits;
  owned_counter misses;
  owned_counter loads;
  owned_counter load_failures;
  owned_counter load_nanoseconds;

  void add_to(cache_statistics& s) const {
    entries.add_to(s);
    s.hits += hits.read();
    s.misses += misses.read();
    s.loads += loads.read();
    s.load_failures += load_failures.read();
    s.load_time += std::chrono::nanoseconds(load_nanoseconds.read());
  }
};

}  // namespace detail

// A cache<K, V> of the calling thread's own: what one thread puts, the others do not find. No call
// takes a lock or waits for another thread, so a value may be computed once by each of them. What
// is evicted is chosen as in a cache.
//
// Requires: as cache. Thread-safety: every function from any thread. Blocks? No. Allocates: at a
// thread's first use, and as its part fills; that memory is kept as a cache keeps its own. Throws:
// as cache, and at a thread's first use as per_thread. What a thread has cached outlives it, and
// belongs to a thread that comes later: so it is nothing that only the thread that put it may use.
// Destruction: no thread is inside a call. on_removal is not called then, nor when a thread ends.
// After fork the child goes on with the forking thread's entries.
template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class thread_cache {
  using table = detail::cache_table<K, V, Equal>;
  using removed = typename table::removed;
  using part = detail::thread_cache_part<K, V, Equal>;

 public:
  using options = thread_cache_options<K, V>;

  // Throws std::invalid_argument for a negative duration, std::bad_alloc.
  explicit thread_cache(options o, const Hash& hash = Hash(), const Equal& equal = Equal())
      : options_(std::move(o)),
        limits_(detail::limits_of(options_)),
        hash_(hash),
        parts_([limits = limits_, equal] { return part(limits, equal); }) {}
  explicit thread_cache(std::size_t capacity = 1'000)
      : thread_cache(options{.capacity = capacity}) {}

  std::optional<V> get(const K& key) {
    const std::uint64_t hash = hashed(key);
    return look_up(parts_.local(), hash, key);
  }

  // The key's value; when it has none, what f() returns, which this thread then finds. What f
  // throws goes to the caller. f may use the cache; where it changes the key's value itself, its
  // result is returned, and not kept. Throws also recursive_computation, when f needs the value
  // that it computes.
  template <class F>
  V get_or_compute(const K& key, F&& f) {
    static_assert(std::is_invocable_r_v<V, F&>, "f() returns the value");
    const std::uint64_t hash = hashed(key);
    part& mine = parts_.local();
    if (std::optional<V> value = look_up(mine, hash, key)) return *std::move(value);
    if (flight_of(mine, hash, key) != nullptr) detail::refuse_recursion(detail::attachment::own);
    computation own(mine, hash, key);
    V value = own.run(f);
    K kept_key(key);
    V kept_value(value);
    const std::uint64_t weight = weigh(key, value);
    if (own.end()) keep(mine, hash, kept_key, kept_value, weight, nullptr);
    return value;
  }

  void put(K key, V value) {
    const std::uint64_t hash = hashed(key);
    part& mine = parts_.local();
    const std::uint64_t weight = weigh(key, value);
    keep(mine, hash, key, value, weight, flight_of(mine, hash, key));
  }

  // True when the key had a value.
  bool erase(const K& key) {
    const std::uint64_t hash = hashed(key);
    part& mine = parts_.local();
    const std::uint32_t n = mine.entries.find(hash, key);
    drop(mine, flight_of(mine, hash, key));
    if (n == table::none) return false;
    const bool there = !mine.entries.over(n, now());
    removed gone;
    mine.entries.remove(n, there ? removal_cause::erased : removal_cause::expired, gone);
    settle(mine, gone);
    return there;
  }

  // Erases the calling thread's entries.
  void clear() {
    part& mine = parts_.local();
    mine.flights.drop_all();
    removed gone;
    mine.entries.clear(gone);
    settle(mine, gone);
  }
  // Removes those of the calling thread that have expired; how many.
  std::size_t remove_expired() {
    part& mine = parts_.local();
    const std::size_t before = mine.entries.size();
    removed gone;
    mine.entries.remove_expired(now(), gone);
    const std::size_t count = before - mine.entries.size();
    settle(mine, gone);
    return count;
  }

  // Neither counts as a look-up, nor keeps the entry from being evicted.
  bool contains(const K& key) {
    const std::uint64_t hash = hashed(key);
    const part& mine = parts_.local();
    const std::uint32_t n = mine.entries.find(hash, key);
    return n != table::none && !mine.entries.over(n, now());
  }

  // f(const K&, const V&) for a copy of each of the calling thread's entries. f may use the cache.
  template <class F>
  void for_each(F f) {
    std::vector<std::pair<K, V>> copies;
    parts_.local().entries.for_each(now(),
                                    [&](const K& k, const V& v) { copies.emplace_back(k, v); });
    for (const auto& [key, value] : copies) f(key, value);
  }

  // Of the calling thread, with those that have expired and have not left.
  std::size_t size() { return parts_.local().entries.size(); }
  // Of each thread.
  std::size_t capacity() const noexcept { return options_.capacity; }

  // Of all threads together, or of the calling one. Counts of calls that are under way may be in it
  // or not.
  cache_statistics statistics() const {
    cache_statistics all;
    parts_.for_each([&](const part& p) { p.add_to(all); });
    return all;
  }
  cache_statistics own_statistics() {
    cache_statistics own;
    parts_.local().add_to(own);
    return own;
  }

 private:
  // Of this thread, as long as it lives; one inside another's function, maybe.
  class computation {
   public:
    computation(part& p, std::uint64_t hash, const K& key)
        : part_(p), flight_{.hash = hash, .key = &key} {
      part_.flights.begin(flight_);
    }
    ~computation() { end(); }
    computation(const computation&) = delete;
    computation& operator=(const computation&) = delete;

    template <class F>
    V run(F& f) {
      const prim::time_point begin = prim::clock::now();
      owned_counter* outcome = &part_.load_failures;
      const finally counted([&] {
        outcome->add();
        const std::chrono::nanoseconds took = prim::clock::now() - begin;
        part_.load_nanoseconds.add(static_cast<std::uint64_t>(took.count()));
      });
      V value = static_cast<V>(f());
      outcome = &part_.loads;
      return value;
    }
    // Whether the result may be kept.
    bool end() noexcept { return part_.flights.end(flight_); }

   private:
    template <class G>
    struct finally {
      explicit finally(G f) : function(std::move(f)) {}
      ~finally() { function(); }
      finally(const finally&) = delete;
      finally& operator=(const finally&) = delete;
      G function;
    };

    part& part_;
    detail::flight flight_;
  };

  std::uint64_t hashed(const K& key) const {
    return detail::mixed(static_cast<std::uint64_t>(hash_(key)));
  }
  detail::cache_time now() const {
    return limits_.expires() ? detail::time_by(options_.now) : detail::cache_time{0};
  }
  std::uint64_t weigh(const K& key, const V& value) const {
    return options_.weigher ? detail::checked_weight(options_.weigher(key, value)) : 1;
  }

  std::optional<V> look_up(part& mine, std::uint64_t hash, const K& key) {
    const std::uint32_t n = mine.entries.find(hash, key);
    if (n != table::none) {
      const detail::cache_time time = now();
      if (!mine.entries.over(n, time)) {
        mine.entries.touch(n, time);
        mine.hits.add();
        return std::optional<V>(mine.entries.value(n));
      }
      removed gone;
      mine.entries.remove(n, removal_cause::expired, gone);
      settle(mine, gone);
    }
    mine.misses.add();
    return std::nullopt;
  }

  // Null when there is none.
  detail::flight* flight_of(part& mine, std::uint64_t hash, const K& key) {
    return mine.flights.find(hash, [&](const void* other) {
      return mine.entries.equal(*static_cast<const K*>(other), key);
    });
  }
  static void drop(part& mine, detail::flight* f) noexcept {
    if (f != nullptr) mine.flights.drop(*f);
  }

  // And drops the computation that is under way, if there is one: before the listener is told,
  // which may do the same.
  void keep(part& mine, std::uint64_t hash, K& key, V& value, std::uint64_t weight,
            detail::flight* under_way) {
    removed gone;
    const std::uint32_t old = mine.entries.find(hash, key);
    const bool fits = mine.entries.fits(weight);
    if (fits) {
      mine.entries.put(old, hash, std::move(key), std::move(value), weight, now(), gone);
    } else {
      if (old != table::none) mine.entries.remove(old, removal_cause::replaced, gone);
      mine.entries.count_too_heavy();
    }
    drop(mine, under_way);
    settle(mine, gone);
    if (!fits) tell(key, value, removal_cause::evicted);
  }

  // The listener is told of what has left; then it is destroyed, and its memory given back.
  void settle(part& mine, removed& gone) noexcept {
    if (gone.empty()) return;
    mine.entries.tell(gone, [this](const K& key, const V& value, removal_cause cause) {
      tell(key, value, cause);
    });
    mine.entries.give_back(gone);
  }
  void tell(const K& key, const V& value, removal_cause cause) const noexcept {
    if (!options_.on_removal) return;
    try {
      options_.on_removal(key, value, cause);
    } catch (...) {
      report_unhandled(std::current_exception());
    }
  }

  const options options_;
  const detail::cache_limits limits_;
  [[no_unique_address]] Hash hash_;
  per_thread<part> parts_;
};

}  // namespace heddle::inline HEDDLE_ABI
