// How caches are set up, and what they tell of themselves.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include <heddle/base/errors.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// The computation of a cached value needs that very value, itself or by way of computations that
// other threads are in the middle of.
class HEDDLE_API recursive_computation : public error {
 public:
  explicit recursive_computation(const char* what);
  ~recursive_computation() override;
};

enum class removal_cause : std::uint8_t {
  replaced,  // another value took its place
  erased,    // by erase or clear
  expired,   // its time had passed
  evicted,   // to make room, or because it is heavier than all of the room there is
};

// "replaced", "erased", ...
HEDDLE_API const char* describe(removal_cause cause) noexcept;

namespace detail {

template <class K>
inline constexpr bool is_its_bytes =
    std::is_arithmetic_v<K> || std::is_enum_v<K> || std::is_pointer_v<K>;
template <class K, std::size_t n>
inline constexpr bool is_its_bytes<std::array<K, n>> = is_its_bytes<K>;

}  // namespace detail

// Whether comparing two keys by Equal looks at nothing but the two K themselves: not at what they
// refer to, nor at anything else that changes. A cache<> compares such keys without a lock, where
// what a key refers to may be gone: a string view's text, say, freed after its erase. It is so of
// numbers, enumerations, pointers compared as addresses, and std::array of those. It may be
// specialized for others, trivially copyable ones of 64 bytes at most, beside the definition of K:
//
//   template <>
//   inline constexpr bool heddle::compares_own_bytes<point> = true;
//
// Requires, where it is true: several threads may compare at a time.
template <class K, class Equal = std::equal_to<K>>
inline constexpr bool compares_own_bytes =
    detail::is_its_bytes<K> &&
    (std::is_same_v<Equal, std::equal_to<K>> || std::is_same_v<Equal, std::equal_to<>>);

// Durations of zero mean: does not expire.
template <class K, class V>
struct cache_options {
  using duration = prim::clock::duration;

  // The most entries, or the most units of weight where there is a weigher. 0: keeps nothing.
  std::size_t capacity = 10'000;
  // Parts with a lock and a share of the capacity each: rounded down to a power of two, and to so
  // many that each share is 64 at least. 1 to 65536. Of no meaning to a thread_cache.
  std::size_t shards = 16;
  duration expire_after_write{0};   // this long after it was put
  duration expire_after_access{0};  // this long after it was put, or last found
  // What an entry weighs, asked once, when it is put, without a lock; the answer is kept. 0 counts
  // as 1, so that there are never more entries than the capacity. A negative one makes the call
  // that puts throw std::invalid_argument.
  std::function<std::int64_t(const K&, const V&)> weigher = {};
  // Told of each entry that leaves, on the thread that made it leave, which holds no lock and may
  // use the cache, and in that thread's context. What it throws goes to the unhandled handler. Not
  // told by the destructor.
  std::function<void(const K&, const V&, removal_cause)> on_removal = {};
  // The clock for expiry, in place of prim::clock.
  prim::time_point (*now)() = nullptr;
  const char* name = nullptr;  // for reports; lives as long as the cache
};

// What was done with a cache so far. A look-up is a get or a get_or_compute; each is a hit or a
// miss.
struct cache_statistics {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t loads = 0;                // computations that gave a value
  std::uint64_t load_failures = 0;        // and those that threw
  std::chrono::nanoseconds load_time{0};  // of both
  std::uint64_t waits = 0;                // look-ups that waited for another's computation
  std::uint64_t inserts = 0;              // of keys that were not there
  std::uint64_t replaced = 0;
  std::uint64_t erased = 0;
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
  std::uint64_t too_heavy = 0;  // of the evicted ones: those that were never kept
  std::size_t entries = 0;
  std::uint64_t weight = 0;  // of the entries; as many as there are without a weigher

  // Of all look-ups; 0 when there was none.
  double hit_share() const noexcept {
    const auto all = static_cast<double>(hits + misses);
    return all > 0 ? static_cast<double>(hits) / all : 0;
  }
  std::chrono::nanoseconds mean_load_time() const noexcept {
    const std::uint64_t all = loads + load_failures;
    return all > 0 ? load_time / static_cast<std::int64_t>(all) : std::chrono::nanoseconds(0);
  }
};

namespace detail {

// Times are counts of the clock.
using cache_time = prim::clock::rep;

struct cache_limits {
  std::uint64_t capacity = 0;
  cache_time after_write = 0;   // 0: never
  cache_time after_access = 0;  // 0: never
  bool weighted = false;
  bool told = false;  // somebody wants to know what leaves

  bool expires() const noexcept { return after_write != 0 || after_access != 0; }
};

// Throws std::invalid_argument.
HEDDLE_API cache_limits checked_limits(std::size_t capacity, prim::clock::duration after_write,
                                       prim::clock::duration after_access);
template <class Options>
cache_limits limits_of(const Options& o) {
  cache_limits limits = checked_limits(o.capacity, o.expire_after_write, o.expire_after_access);
  limits.weighted = static_cast<bool>(o.weigher);
  limits.told = static_cast<bool>(o.on_removal);
  return limits;
}
// How many there will be. Throws std::invalid_argument.
HEDDLE_API std::size_t shards_for(std::size_t capacity, std::size_t asked);
// At least 1. Throws std::invalid_argument when it is negative.
HEDDLE_API std::uint64_t checked_weight(std::int64_t weight);

inline cache_time time_by(prim::time_point (*now)()) {
  return (now != nullptr ? now() : prim::clock::now()).time_since_epoch().count();
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
