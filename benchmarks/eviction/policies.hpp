// Four ways to decide what has to go, each by its own paper, over the same map and lists.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "traces.hpp"

namespace eviction {

// Entries by number, in doubly linked lists, newest first.
class entries {
 public:
  using number = std::uint32_t;
  static constexpr number none = ~number{0};

  struct entry {
    key k = 0;
    number newer = none;
    number older = none;
    std::uint8_t uses = 0;
    std::uint8_t where = 0;
  };
  struct list {
    number newest = none;
    number oldest = none;
    std::size_t size = 0;
  };

  explicit entries(std::size_t capacity) : all_(capacity + 1) {
    for (std::size_t i = 0; i < all_.size(); ++i) free_.push_back(static_cast<number>(i));
    numbers_.reserve(capacity + 1);
  }

  number find(key k) const {
    const auto at = numbers_.find(k);
    return at == numbers_.end() ? none : at->second;
  }
  entry& operator[](number n) { return all_[n]; }

  number make(key k) {
    const number n = free_.back();
    free_.pop_back();
    all_[n] = {.k = k};
    numbers_.emplace(k, n);
    return n;
  }
  // Requires: it is in no list.
  void drop(number n) {
    numbers_.erase(all_[n].k);
    free_.push_back(n);
  }

  void push(list& l, number n) {
    all_[n].older = l.newest;
    all_[n].newer = none;
    (l.newest != none ? all_[l.newest].newer : l.oldest) = n;
    l.newest = n;
    ++l.size;
  }
  void unlink(list& l, number n) {
    const entry& e = all_[n];
    (e.newer != none ? all_[e.newer].older : l.newest) = e.older;
    (e.older != none ? all_[e.older].newer : l.oldest) = e.newer;
    --l.size;
  }

 private:
  std::vector<entry> all_;
  std::vector<number> free_;
  std::unordered_map<key, number> numbers_;
};

// Least recently used.
class lru {
 public:
  explicit lru(std::size_t capacity) : capacity_(capacity), entries_(capacity) {}

  bool access(key k) {
    entries::number n = entries_.find(k);
    const bool hit = n != entries::none;
    if (hit) {
      entries_.unlink(list_, n);
    } else {
      if (list_.size == capacity_) {
        const entries::number oldest = list_.oldest;
        entries_.unlink(list_, oldest);
        entries_.drop(oldest);
      }
      n = entries_.make(k);
    }
    entries_.push(list_, n);
    return hit;
  }

 private:
  std::size_t capacity_;
  entries entries_;
  entries::list list_;
};

// Zhang, Yang, Yue, Vinayak and Berger, "SIEVE is simpler than LRU", NSDI 2024.
class sieve {
 public:
  explicit sieve(std::size_t capacity) : capacity_(capacity), entries_(capacity) {}

  bool access(key k) {
    const entries::number n = entries_.find(k);
    if (n != entries::none) {
      entries_[n].uses = 1;
      return true;
    }
    if (list_.size == capacity_) evict();
    entries_.push(list_, entries_.make(k));
    return false;
  }

 private:
  void evict() {
    entries::number n = hand_ != entries::none ? hand_ : list_.oldest;
    while (entries_[n].uses != 0) {
      entries_[n].uses = 0;
      n = entries_[n].newer != entries::none ? entries_[n].newer : list_.oldest;
    }
    hand_ = entries_[n].newer;
    entries_.unlink(list_, n);
    entries_.drop(n);
  }

  std::size_t capacity_;
  entries entries_;
  entries::list list_;
  entries::number hand_ = entries::none;
};

// Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all you need for cache eviction", SOSP 2023.
// UsesToStay: how often an entry of the small queue must have been found to go on to the main one.
template <int UsesToStay>
class s3_fifo {
 public:
  explicit s3_fifo(std::size_t capacity)
      : capacity_(capacity),
        small_share_(std::max<std::size_t>(1, capacity / 10)),
        entries_(capacity) {}

  bool access(key k) {
    entries::number n = entries_.find(k);
    if (n != entries::none) {
      entries_[n].uses = std::min<std::uint8_t>(3, entries_[n].uses + 1);
      return true;
    }
    while (small_.size + main_.size >= capacity_) evict();
    n = entries_.make(k);
    entries_.push(ghosts_.erase(k) != 0 ? main_ : small_, n);
    return false;
  }

 private:
  void evict() {
    if (small_.size >= small_share_ || main_.size == 0) {
      const entries::number n = small_.oldest;
      entries_.unlink(small_, n);
      if (entries_[n].uses >= UsesToStay) {
        entries_[n].uses = 0;
        entries_.push(main_, n);
      } else {
        remember(entries_[n].k);
        entries_.drop(n);
      }
      return;
    }
    const entries::number n = main_.oldest;
    entries_.unlink(main_, n);
    if (entries_[n].uses > 0) {
      --entries_[n].uses;
      entries_.push(main_, n);
    } else {
      entries_.drop(n);
    }
  }
  void remember(key k) {
    ghosts_.insert(k);
    order_.push_back(k);
    if (order_.size() > capacity_ - small_share_) {
      ghosts_.erase(order_.front());
      order_.pop_front();
    }
  }

  std::size_t capacity_;
  std::size_t small_share_;
  entries entries_;
  entries::list small_;
  entries::list main_;
  std::unordered_set<key> ghosts_;
  std::deque<key> order_;
};

// Einziger, Friedman and Manes, "TinyLFU: A highly efficient cache admission policy", ACM TOS
// 13(4), 2017: a window of a hundredth, and a segmented LRU into which only those are let that are
// asked for more often than whom they push out, by a count-min sketch that is halved now and then.
class w_tinylfu {
 public:
  explicit w_tinylfu(std::size_t capacity)
      : window_share_(std::max<std::size_t>(1, capacity / 100)),
        main_share_(capacity - window_share_),
        protected_share_(main_share_ * 8 / 10),
        entries_(capacity),
        sample_(10 * capacity),
        counters_(std::bit_ceil(capacity) * 4) {}

  bool access(key k) {
    count(k);
    entries::number n = entries_.find(k);
    if (n != entries::none) {
      found(n);
      return true;
    }
    n = entries_.make(k);
    put(window, n);
    if (list(window).size > window_share_) admit();
    return false;
  }

 private:
  enum place : std::uint8_t { window, probation, kept };

  entries::list& list(std::uint8_t p) { return lists_[p]; }
  void put(place p, entries::number n) {
    entries_[n].where = p;
    entries_.push(list(p), n);
  }
  void found(entries::number n) {
    const auto from = static_cast<place>(entries_[n].where);
    entries_.unlink(list(from), n);
    put(from == window ? window : kept, n);
    if (list(kept).size > protected_share_) {
      const entries::number oldest = list(kept).oldest;
      entries_.unlink(list(kept), oldest);
      put(probation, oldest);
    }
  }
  // The oldest of the window against the one that would have to go.
  void admit() {
    const entries::number candidate = list(window).oldest;
    entries_.unlink(list(window), candidate);
    if (list(probation).size + list(kept).size < main_share_) {
      put(probation, candidate);
      return;
    }
    const place from = list(probation).size != 0 ? probation : kept;
    const entries::number victim = list(from).oldest;
    if (frequency(entries_[candidate].k) > frequency(entries_[victim].k)) {
      entries_.unlink(list(from), victim);
      entries_.drop(victim);
      put(probation, candidate);
    } else {
      entries_.drop(candidate);
    }
  }

  std::size_t counter(key k, unsigned row) const {
    static constexpr std::array<std::uint64_t, 4> seeds = {
        0xc3a5c85c97cb3127ULL, 0xb492b66fbe98f273ULL, 0x9ae16a3b2f90404fULL, 0xcbf29ce484222325ULL};
    const std::uint64_t h = (k + row) * seeds[row];
    return ((h ^ (h >> 32)) & (counters_.size() / 4 - 1)) * 4 + row;
  }
  int frequency(key k) const {
    int least = 15;
    for (unsigned row = 0; row < 4; ++row) least = std::min<int>(least, counters_[counter(k, row)]);
    return least;
  }
  void count(key k) {
    const int least = frequency(k);
    if (least == 15) return;
    for (unsigned row = 0; row < 4; ++row) {
      std::uint8_t& c = counters_[counter(k, row)];
      if (c == least) ++c;
    }
    if (++counted_ < sample_) return;
    for (std::uint8_t& c : counters_) c /= 2;
    counted_ /= 2;
  }

  std::size_t window_share_;
  std::size_t main_share_;
  std::size_t protected_share_;
  entries entries_;
  std::array<entries::list, 3> lists_;
  std::size_t sample_;
  std::size_t counted_ = 0;
  std::vector<std::uint8_t> counters_;
};

}  // namespace eviction
