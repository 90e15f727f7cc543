// A cache that any number of threads use at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/data/cache_counters.hpp>
#include <heddle/data/cache_options.hpp>
#include <heddle/data/cache_part.hpp>
#include <heddle/data/flight.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// Keys with values, as many as fit; beyond that the ones go that are least likely to be asked for
// again (S3-FIFO: heddle/data/eviction.hpp). An entry is found as long as it is neither erased,
// expired nor evicted; so an answer is a hint, and the truth is elsewhere.
//
// Requires: K and V are copyable; Hash and Equal are as std::unordered_map wants them, and none of
// their functions uses the cache itself.
// Values come out as copies. Those that are expensive to copy are held by a shared pointer: copying
// a V that is not trivial, moving K and V in, and comparing keys happen under the lock of a part of
// the cache, a spin lock. Where K and V are trivially copyable, of 64 bytes at most,
// compares_own_bytes<K, Equal> holds, and no expiry after access is set, a hit takes no lock, and
// writes no shared memory once the entry is popular. Each call about a key is atomic. Keys and
// values are destroyed after the lock was let go of.
// A key that refers to something (a view, a pointer with an Equal of its own) needs that as long as
// it has an entry: until its erase, or clear, has returned, or on_removal is told. Where a value is
// replaced, the key that was there may stay in place of the one of the put. What values refer to is
// looked at by nobody but those who got a copy.
//
// Thread-safety: every function from any thread. Memory ordering: a put synchronizes with the
// look-ups that find its value. Blocks? get_or_compute while another thread computes the key's
// value; a worker that waits lets its pool put a spare worker in its place. The others do not, but
// for the lock of a part: whoever finds it held spins, and then naps.
// Allocates: as it fills, under that lock. The memory of entries is used again, and given back at
// the cache's end only, as that of indexes which a part has outgrown is: an erase or clear frees
// what keys and values own, and no more. Throws: std::bad_alloc, and what the functions of K, V,
// Hash, Equal and the weigher throw: then nothing has changed.
// Complexity: constant on average, but for clear, for_each, remove_expired and statistics; of those
// all but the last hold up the calls about a part while they go through it. So does, now and then,
// a put: when a part outgrows its index it allocates one of twice the size and moves all entries
// over, and with a weigher it may evict many entries for one.
// Destruction: no thread is inside a call, or will be. on_removal is not called then.
// After fork the child may use it if no other thread was inside a call.
template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class cache {
  using part = detail::cache_part<K, V, Equal>;
  using removed = typename part::removed;

 public:
  using options = cache_options<K, V>;

  // Throws std::invalid_argument: shards 0 or above 65536, a negative duration.
  explicit cache(options o, const Hash& hash = Hash(), const Equal& equal = Equal())
      : options_(std::move(o)),
        limits_(detail::limits_of(options_)),
        hash_(hash),
        part_count_(detail::shards_for(options_.capacity, options_.shards)),
        parts_(std::allocator<part>().allocate(part_count_)) {
    std::size_t made = 0;
    try {
      for (; made < part_count_; ++made) {
        detail::cache_limits share = limits_;
        share.capacity = limits_.capacity / part_count_;
        if (made < limits_.capacity % part_count_) ++share.capacity;
        std::construct_at(parts_ + made, share, equal);
      }
    } catch (...) {
      destroy(made);
      throw;
    }
  }
  explicit cache(std::size_t capacity) : cache(options{.capacity = capacity}) {}
  ~cache() { destroy(part_count_); }
  cache(const cache&) = delete;
  cache& operator=(const cache&) = delete;

  // The key's value, or nothing.
  std::optional<V> get(const K& key) {
    const std::uint64_t hash = hashed(key);
    std::optional<V> value = look_up(hash, key);
    lookups_.count(value.has_value());
    return value;
  }

  // The key's value; when it has none, what f() returns, which others then find. Of several threads
  // that want a value one computes, and the others wait for it.
  // When f throws, the exception goes to its caller and to those who wait; whoever comes later
  // tries again. When f throws `cancelled`, that was about its caller's work, and one of those who
  // wait calls its own f. A put, erase or clear meanwhile wins: those who wait get what was
  // computed, later ones do not. Throws also recursive_computation, when f needs the value that it
  // computes, or one whose computation on another thread needs this one; std::bad_alloc, when there
  // is no room for the result, to all of them; would_starve as blocking_region does.
  template <class F>
  V get_or_compute(const K& key, F&& f) {
    static_assert(std::is_invocable_r_v<V, F&>, "f() returns the value");
    const std::uint64_t hash = hashed(key);
    std::optional<V> value = look_up(hash, key);
    lookups_.count(value.has_value());
    return value ? *std::move(value) : *load(hash, key, f, wait_limit());
  }

  // The same, but nothing when the deadline passed, or a stop was requested, while another thread
  // computed the value; that computation goes on, and so do the waits of others. The limits are
  // those of the wait: they do not hold for f if this call runs it, because nobody computes the
  // value, or because who did was cancelled. A value that is there needs no wait.
  template <class F>
  std::optional<V> get_or_compute(const K& key, F&& f, const prim::stop_token& stop) {
    return get_or_compute_within(key, f, wait_limit(stop));
  }
  template <class F>
  std::optional<V> get_or_compute_until(const K& key, F&& f, prim::time_point deadline,
                                        const prim::stop_token& stop = {}) {
    return get_or_compute_within(key, f, wait_limit(stop, deadline));
  }
  template <class F, class Rep, class Period>
  std::optional<V> get_or_compute_for(const K& key, F&& f,
                                      std::chrono::duration<Rep, Period> timeout,
                                      const prim::stop_token& stop = {}) {
    return get_or_compute_until(key, std::forward<F>(f), prim::deadline_after(timeout), stop);
  }

  // Gives the key this value, unless that is heavier than a part's share of the capacity: then the
  // key has none.
  void put(K key, V value) {
    const std::uint64_t hash = hashed(key);
    part& p = part_of(hash);
    p.prefetch(hash);
    const std::uint64_t weight = weigh(key, value);
    removed gone;
    const bool kept = p.keep(hash, key, value, weight, now(), nullptr, gone);
    settle(p, gone);
    if (!kept) tell(key, value, removal_cause::evicted);
  }

  // True when the key had a value.
  bool erase(const K& key) {
    const std::uint64_t hash = hashed(key);
    part& p = part_of(hash);
    removed gone;
    const bool there = p.erase(hash, key, now(), gone);
    settle(p, gone);
    return there;
  }

  // Erases all, part by part. What is being computed is not kept.
  void clear() {
    for_each_part([this](part& p) {
      removed gone;
      p.clear(gone);
      settle(p, gone);
    });
  }

  // Removes what has expired, part by part; how many. Else such an entry leaves when it is looked
  // up or evicted.
  std::size_t remove_expired() {
    std::size_t count = 0;
    for_each_part([&](part& p) {
      removed gone;
      count += p.remove_expired(now(), gone);
      settle(p, gone);
    });
    return count;
  }

  // Neither counts as a look-up, nor keeps the entry from being evicted.
  bool contains(const K& key) const {
    const std::uint64_t hash = hashed(key);
    return part_of(hash).contains(hash, key, now());
  }

  // f(const K&, const V&) for a copy of each entry; each part of the cache as it is at one moment.
  // No lock is held: f may use the cache.
  template <class F>
  void for_each(F f) const {
    for_each_part([&](const part& p) {
      for (const auto& [key, value] : p.copies(now())) f(key, value);
    });
  }

  // With those that have expired and have not left.
  std::size_t size() const noexcept {
    std::size_t n = 0;
    for_each_part([&](const part& p) { n += p.size(); });
    return n;
  }
  std::size_t capacity() const noexcept { return options_.capacity; }
  std::size_t shards() const noexcept { return part_count_; }
  // Null when it has none.
  const char* name() const noexcept { return options_.name; }

  // Counts of calls that are under way may be in it or not.
  cache_statistics statistics() const {
    cache_statistics all;
    lookups_.add_to(all);
    loads_.add_to(all);
    for_each_part([&](const part& p) { p.add_to(all); });
    return all;
  }

 private:
  struct waiter : detail::flight_waiter {
    std::optional<V> value;
  };

  void destroy(std::size_t made) noexcept {
    std::destroy_n(parts_, made);
    std::allocator<part>().deallocate(parts_, part_count_);
  }

  std::uint64_t hashed(const K& key) const {
    return detail::mixed(static_cast<std::uint64_t>(hash_(key)));
  }
  // By the highest bits: the index uses the lower half.
  part& part_of(std::uint64_t hash) const noexcept {
    return parts_[(hash >> 48) & (part_count_ - 1)];
  }
  template <class F>
  void for_each_part(F f) const {
    for (std::size_t i = 0; i < part_count_; ++i) f(parts_[i]);
  }
  detail::cache_time now() const {
    return limits_.expires() ? detail::time_by(options_.now) : detail::cache_time{0};
  }
  std::uint64_t weigh(const K& key, const V& value) const {
    return options_.weigher ? detail::checked_weight(options_.weigher(key, value)) : 1;
  }

  std::optional<V> look_up(std::uint64_t hash, const K& key) {
    part& p = part_of(hash);
    p.prefetch(hash);
    removed gone;
    std::optional<V> value = p.look_up(hash, key, now(), gone);
    settle(p, gone);
    return value;
  }

  void settle(part& p, removed& gone) const noexcept {
    if (!gone.empty()) [[unlikely]]
      settle_all(p, gone);
  }
  [[gnu::noinline]] void settle_all(part& p, removed& gone) const noexcept {
    p.settle(gone, [this](const K& key, const V& value, removal_cause cause) {
      tell(key, value, cause);
    });
  }
  void tell(const K& key, const V& value, removal_cause cause) const noexcept {
    if (!options_.on_removal) return;
    try {
      options_.on_removal(key, value, cause);
    } catch (...) {
      report_unhandled(std::current_exception());
    }
  }

  template <class F>
  std::optional<V> get_or_compute_within(const K& key, F& f, const wait_limit& limit) {
    static_assert(std::is_invocable_r_v<V, F&>, "f() returns the value");
    const std::uint64_t hash = hashed(key);
    std::optional<V> value = look_up(hash, key);
    lookups_.count(value.has_value());
    return value ? std::move(value) : load(hash, key, f, limit);
  }
  template <class F>
  [[gnu::noinline]] std::optional<V> load(std::uint64_t hash, const K& key, F& f,
                                          const wait_limit& limit);
  template <class F>
  V compute(part& p, const K& key, F& f, detail::flight& own);
  void pass_on(part& p, detail::flight& own) noexcept;
  void fail(part& p, detail::flight& own, const std::exception_ptr& e) noexcept;

  const options options_;
  const detail::cache_limits limits_;
  [[no_unique_address]] Hash hash_;
  mutable detail::lookup_counters lookups_;
  detail::load_counters loads_;
  const std::size_t part_count_;
  part* const parts_;  // behind everything whose construction may throw
};

// Finds the value, waits for somebody who computes it, or computes it. Nothing when a wait reached
// its limit.
template <class K, class V, class Hash, class Equal>
template <class F>
std::optional<V> cache<K, V, Hash, Equal>::load(std::uint64_t hash, const K& key, F& f,
                                                const wait_limit& limit) {
  using role = typename part::role;
  part& p = part_of(hash);
  for (;;) {
    detail::flight own{.hash = hash, .key = &key};
    std::optional<V> value;
    const role r = p.begin(own, key, now(), value);
    if (r == role::found) return value;
    if (r == role::leads) return compute(p, key, f, own);
    if (limit.over()) return std::nullopt;
    waiter w;
    w.own.key = &key;
    {
      wait_record record = detail::flight_record(w, limit, &p, options_.name);
      const blocking_region region(record);
      const detail::attachment a = p.join(hash, key, w);
      if (a == detail::attachment::ended) continue;
      detail::refuse_recursion(a);
      loads_.waited();
      const auto withdraw = [&]() noexcept { return p.withdraw(w); };
      if (!sleep_until_chosen(w.parker, limit, withdraw)) return std::nullopt;
    }
    switch (w.end.get()) {
      case detail::flight_end::value:
        return std::move(w.value);
      case detail::flight_end::error:
        std::rethrow_exception(std::move(w.error));
      case detail::flight_end::lead:
        return compute(p, key, f, w.own);
      case detail::flight_end::again:
        break;
    }
  }
}

// Requires: this thread leads the computation. Ends it, or passes it on.
template <class K, class V, class Hash, class Equal>
template <class F>
V cache<K, V, Hash, Equal>::compute(part& p, const K& key, F& f, detail::flight& own) {
  const detail::load_counters::timer timer;
  bool loaded = false;
  try {
    V value = static_cast<V>(f());
    loads_.loaded(timer);
    loaded = true;
    K kept_key(key);
    V kept_value(value);
    const std::uint64_t weight = weigh(key, value);
    removed gone;
    const bool kept = p.keep(own.hash, kept_key, kept_value, weight, now(), &own, gone);
    detail::wake_waiters(own, [&](detail::flight_waiter& w) noexcept {
      try {
        static_cast<waiter&>(w).value.emplace(value);
        w.end.set(detail::flight_end::value);
      } catch (...) {
        w.error = std::current_exception();
        w.end.set(detail::flight_end::error);
      }
    });
    settle(p, gone);
    if (!kept) tell(key, value, removal_cause::evicted);
    return value;
  } catch (const cancelled&) {
    if (!loaded) loads_.failed(timer);
    pass_on(p, own);
    throw;
  } catch (...) {
    if (!loaded) loads_.failed(timer);
    fail(p, own, std::current_exception());
    throw;
  }
}

template <class K, class V, class Hash, class Equal>
void cache<K, V, Hash, Equal>::pass_on(part& p, detail::flight& own) noexcept {
  detail::flight_waiter* const heir = p.hand_over(own);
  if (heir != nullptr) heir->parker.unpark();
  detail::wake_waiters(
      own, [](detail::flight_waiter& w) noexcept { w.end.set(detail::flight_end::again); });
}

template <class K, class V, class Hash, class Equal>
void cache<K, V, Hash, Equal>::fail(part& p, detail::flight& own,
                                    const std::exception_ptr& e) noexcept {
  p.end(own);
  detail::wake_waiters(own, [&](detail::flight_waiter& w) noexcept {
    w.error = e;
    w.end.set(detail::flight_end::error);
  });
}

}  // namespace heddle::inline HEDDLE_ABI
