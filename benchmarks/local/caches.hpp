// The rows of maps and caches: 1,000,000 keys of 64 bits, of which those that are asked for follow
// Zipf's law with exponent 0.99.
//
// A contender is a class that is made with its capacity, and has
//   find(key, value)   bool: whether the key is there; then `value` becomes its value
//   put(key, value)    puts or replaces it
//   through(key)       instead of both: the value, which load(key) gives if it is not there
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "measure.hpp"
#include "zipf.hpp"

namespace bench {

inline constexpr std::size_t key_count = 1'000'000;
inline constexpr std::uint64_t write_flag = std::uint64_t{1} << 63;

// Its low 63 bits are as random as can be, so that no contender needs a good hash function.
inline std::uint64_t key_of(std::uint64_t rank) { return mixed(rank) & ~write_flag; }
inline std::uint64_t value_of(std::uint64_t key) { return 3 * key + 1; }

// What a read-through cache calls on a miss.
inline thread_local std::uint64_t misses = 0;
inline std::uint64_t load(std::uint64_t key) {
  ++misses;
  return value_of(key);
}

// Keys to ask for, which differ from call to call and from thread to thread; with the flag where
// it is a write.
class traces {
 public:
  std::vector<std::uint64_t> make(std::uint64_t length, std::uint64_t writes_in_a_hundred) {
    std::uint64_t state = mixed(made_.fetch_add(1));
    std::vector<std::uint64_t> trace(length);
    for (std::uint64_t& one : trace) {
      const std::uint64_t rank = ranks_(mixed(state++));
      const bool writes = mixed(state++) % 100 < writes_in_a_hundred;
      one = key_of(rank) | (writes ? write_flag : 0);
    }
    return trace;
  }

 private:
  const zipf ranks_{key_count, 0.99};
  std::atomic<std::uint64_t> made_{1};
};

// ns an operation on a map, or on a cache with room for more, that has all keys.
// arguments: WRITES_IN_A_HUNDRED THREADS
template <class Map>
double map(const arguments& words) {
  const unsigned threads = words.threads(1);
  Map map(key_count + key_count / 4);
  for (std::uint64_t rank = 0; rank < key_count; ++rank) {
    map.put(key_of(rank), value_of(key_of(rank)));
  }
  traces all;
  const cost of_one = median_of(threads, [&](std::uint64_t each) {
    return together(threads, [&](unsigned, auto timed) {
      const auto trace = all.make(each, words.number(0));
      timed([&map, &trace] {
        std::uint64_t wrong = 0;
        for (const std::uint64_t one : trace) {
          const std::uint64_t key = one & ~write_flag;
          if (one & write_flag) {
            map.put(key, value_of(key));
          } else {
            std::uint64_t value = 0;
            wrong += !map.find(key, value) || value != value_of(key);
          }
        }
        if (wrong != 0) fail("a key is not there, or has a wrong value");
      });
    });
  });
  return of_one.wall;
}

template <class Cache>
std::uint64_t read_through(Cache& cache, std::uint64_t key) {
  if constexpr (requires { cache.through(key); }) {
    return cache.through(key);
  } else {
    std::uint64_t value = 0;
    if (!cache.find(key, value)) {
      value = load(key);
      cache.put(key, value);
    }
    return value;
  }
}

// A read-through cache with room for 100,000 of the keys: ns an operation, and the part of the
// reads that were hits, in percent, after ten reads for each place in it.
template <class Cache>
struct eviction {
  explicit eviction(unsigned threads) : threads_(threads) { read(1'000'000 / threads); }

  cost read(std::uint64_t each) {
    misses_ = 0;
    reads_ = each * threads_;
    return together(threads_, [&](unsigned, auto timed) {
      const auto trace = traces_.make(each, 0);
      timed([this, &trace] {
        std::uint64_t wrong = 0;
        for (const std::uint64_t key : trace) wrong += read_through(cache_, key) != value_of(key);
        if (wrong != 0) fail("a value is wrong");
      });
      misses_ += misses;
    });
  }
  double hit_rate() const {
    return 100 - 100 * static_cast<double>(misses_) / static_cast<double>(reads_);
  }

 private:
  unsigned threads_;
  Cache cache_{100'000};
  traces traces_;
  std::atomic<std::uint64_t> misses_{0};
  std::uint64_t reads_ = 0;
};

// arguments: THREADS
template <class Cache>
double cache(const arguments& words) {
  eviction<Cache> it(words.threads(0));
  return median_of(words.threads(0), [&](std::uint64_t each) { return it.read(each); }).wall;
}
template <class Cache>
double hits(const arguments& words) {
  eviction<Cache> it(words.threads(0));
  it.read(1'000'000 / words.threads(0));
  return it.hit_rate();
}

}  // namespace bench
