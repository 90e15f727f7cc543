// One of the parts that a cache consists of: a table behind a lock. For the library's own use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/data/cache_options.hpp>
#include <heddle/data/cache_table.hpp>
#include <heddle/data/flight.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What leaves the table is collected in `gone`, for settle() without the lock. Protocol:
// docs/protocols/cache.md.
template <class K, class V, class Equal>
class alignas(destructive_interference) cache_part {
  using table = cache_table<K, V, Equal>;
  using sight = typename table::sight;
  using change = typename table::change;

 public:
  using removed = typename table::removed;

  cache_part(const cache_limits& limits, const Equal& equal) : entries_(limits, equal) {}
  cache_part(const cache_part&) = delete;
  cache_part& operator=(const cache_part&) = delete;

  // For a look-up or a keep() that will come.
  void prefetch(std::uint64_t hash) const noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    entries_.prefetch(hash);
  }

  std::optional<V> look_up(std::uint64_t hash, const K& key, cache_time time, removed& gone) {
    if constexpr (table::peeks) {
      std::optional<V> value;
      const sight seen = peek(hash, key, time, value);
      if (seen == sight::hit || seen == sight::miss) return value;
    }
    return look_up_locked(hash, key, time, gone);
  }

  // Keeps a value, of a put or of a computation, which ends with it; its result is dropped if
  // somebody has changed the key's value meanwhile. Moves key and value away if they are kept.
  // Allocates under the lock, as the table grows: memory that was got ready before it would be of a
  // size that others may have changed, and growing is rare.
  // False when the value is too heavy for that. Throws std::bad_alloc and what moving or Equal
  // throws; then nothing has changed.
  bool keep(std::uint64_t hash, K& key, V& value, std::uint64_t weight, cache_time time,
            flight* own, removed& gone) {
    const prim::scoped_lock locked(lock_);
    const bool wanted = own == nullptr || own->listed;
    const bool fits = entries_.fits(weight);
    if (fits) entries_.prefetch_for_newcomer(hash);
    const std::uint32_t old = wanted ? entries_.find(hash, key) : table::none;
    flight* const other = own == nullptr ? flight_of(hash, key) : nullptr;
    if (wanted) {
      std::optional<change> noticed;
      if (fits ? !entries_.replaces_at_once(old) : old != table::none) noticed.emplace(entries_);
      if (fits) {
        entries_.put(old, hash, std::move(key), std::move(value), weight, time, gone);
      } else {
        if (old != table::none) entries_.remove(old, removal_cause::replaced, gone);
        entries_.count_too_heavy();
      }
    }
    if (other != nullptr) flights_.drop(*other);
    if (own != nullptr) flights_.end(*own);
    return fits || !wanted;
  }

  // True when the key had a value.
  bool erase(std::uint64_t hash, const K& key, cache_time time, removed& gone) {
    const prim::scoped_lock locked(lock_);
    const std::uint32_t n = entries_.find(hash, key);
    flight* const other = flight_of(hash, key);
    if (other != nullptr) flights_.drop(*other);
    if (n == table::none) return false;
    const change noticed(entries_);
    const bool there = !entries_.over(n, time);
    entries_.remove(n, there ? removal_cause::erased : removal_cause::expired, gone);
    return there;
  }
  void clear(removed& gone) noexcept {
    const prim::scoped_lock locked(lock_);
    const change noticed(entries_);
    flights_.drop_all();
    entries_.clear(gone);
  }
  std::size_t remove_expired(cache_time time, removed& gone) noexcept {
    const prim::scoped_lock locked(lock_);
    const change noticed(entries_);
    const std::size_t before = entries_.size();
    entries_.remove_expired(time, gone);
    return before - entries_.size();
  }

  bool contains(std::uint64_t hash, const K& key, cache_time time) const {
    const prim::scoped_lock locked(lock_);
    const std::uint32_t n = entries_.find(hash, key);
    return n != table::none && !entries_.over(n, time);
  }
  // All at one moment.
  std::vector<std::pair<K, V>> copies(cache_time time) const {
    std::vector<std::pair<K, V>> all;
    for (;;) {
      all.reserve(size() + 8);  // not under the lock
      const prim::scoped_lock locked(lock_);
      if (entries_.size() > all.capacity()) continue;
      entries_.for_each(time, [&](const K& key, const V& value) { all.emplace_back(key, value); });
      return all;
    }
  }
  std::size_t size() const noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return entries_.size(); }
  void add_to(cache_statistics& s) const noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    entries_.add_to(s);
  }

  // f is told of what has left (key, value, cause), and does not throw; then it is destroyed, and
  // its memory given back.
  template <class F>
  void settle(removed& gone, F f) noexcept {
    tell(gone, f);
    const prim::scoped_lock locked(lock_);
    entries_.give_back(gone);
  }

  enum class role : std::uint8_t {
    found,   // the value is there
    leads,   // nobody computes it: the caller does, from now on
    behind,  // another computes it
  };
  role begin(flight& own, const K& key, cache_time time, std::optional<V>& value) {
    const prim::scoped_lock locked(lock_);
    const std::uint32_t n = entries_.find(own.hash, key);
    if (n != table::none && !entries_.over(n, time)) {
      value.emplace(entries_.value(n));
      entries_.touch(n, time);
      return role::found;
    }
    if (flight_of(own.hash, key) != nullptr) return role::behind;
    flights_.begin(own);
    return role::leads;
  }
  // Queues up behind the one that computes the value.
  attachment join(std::uint64_t hash, const K& key, flight_waiter& w) {
    const prim::scoped_lock locked(lock_);
    flight* const other = flight_of(hash, key);
    return other != nullptr ? flights_.attach(*other, w) : attachment::ended;
  }
  // Gives up. False when the leader has taken it, and will wake it.
  bool withdraw(flight_waiter& w) noexcept {
    const prim::scoped_lock locked(lock_);
    return flights_.withdraw(w);
  }
  // The leader's computation has failed.
  void end(flight& own) noexcept {
    const prim::scoped_lock locked(lock_);
    flights_.end(own);
  }
  // It was cancelled: the one that leads now, to be woken, or null.
  flight_waiter* hand_over(flight& own) noexcept {
    const prim::scoped_lock locked(lock_);
    return flights_.hand_over(own);
  }

 private:
  // Without the lock. A few times; what goes on changing is looked at under it.
  sight peek(std::uint64_t hash, const K& key, cache_time time,
             std::optional<V>& value) const HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    constexpr int tries = HEDDLE_MODEL ? 1 : 8;
    if (!entries_.can_peek()) return sight::torn;
    for (int i = 0; i < tries; ++i) {
      const sight seen = entries_.peek(hash, key, time, value);
      if (seen != sight::torn) return seen;
      prim::pause();
    }
    return sight::torn;
  }

  [[gnu::noinline]] std::optional<V> look_up_locked(std::uint64_t hash, const K& key,
                                                    cache_time time, removed& gone) {
    {
      const prim::scoped_lock locked(lock_);
      const std::uint32_t n = entries_.find(hash, key);
      if (n == table::none) return std::nullopt;
      if (!entries_.over(n, time)) {
        std::optional<V> value(entries_.value(n));
        entries_.touch(n, time);
        return value;
      }
    }
    const prim::scoped_lock locked(lock_);
    const std::uint32_t n = entries_.find(hash, key);
    if (n != table::none && entries_.over(n, time)) {
      const change noticed(entries_);
      entries_.remove(n, removal_cause::expired, gone);
    }
    return std::nullopt;
  }

  flight* flight_of(std::uint64_t hash, const K& key) const HEDDLE_REQUIRES(lock_) {
    if (flights_.empty()) return nullptr;
    return flights_.find(hash, [&](const void* other) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
      return entries_.equal(*static_cast<const K*>(other), key);
    });
  }

  // What has left belongs to the one that made it leave.
  template <class F>
  void tell(const removed& gone, F& f) noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    entries_.tell(gone, f);
  }

  // The lock stands beside what each put writes, with which the table ends: in its padding.
  [[no_unique_address]] table entries_ HEDDLE_GUARDED_BY(lock_);  // but for peek()
  mutable prim::short_lock lock_;
  flight_list flights_ HEDDLE_GUARDED_BY(lock_);
};

}  // namespace heddle::inline HEDDLE_ABI::detail
