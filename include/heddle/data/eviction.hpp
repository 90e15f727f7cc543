// Which entry of a cache has to go. For the library's own use.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/data/growing_array.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The head of an entry. All but `uses` is under the lock of its part of the cache.
struct cache_link {
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  static constexpr std::uint8_t most_uses = 3;
  enum class place : std::uint8_t { nowhere, small, main };

  // The entry was found. Writes nothing once it counts as popular, so that what everybody reads
  // stays in everybody's cache. Two at once may count as one.
  void touch() noexcept {
    const std::uint8_t n = uses.load(prim::relaxed);
    if (n < most_uses) uses.store(static_cast<std::uint8_t>(n + 1), prim::relaxed);
  }

  std::uint32_t before = none;
  std::uint32_t after = none;
  std::uint32_t hash = 0;  // the lower half, which the index knows
  std::uint16_t mark = 0;  // of the upper half, for the list of ghosts
  prim::atomic<std::uint8_t> uses{0};
  place where = place::nowhere;
};

// The hashes of what was evicted lately: four bytes each, in buckets of eight, where the oldest
// gives way. Now and then it takes one for another; then a newcomer is taken for a returner.
class HEDDLE_API ghost_list {
 public:
  ghost_list() = default;
  ~ghost_list();
  ghost_list(const ghost_list&) = delete;
  ghost_list& operator=(const ghost_list&) = delete;

  // Remembers about this many from now on, if there is memory for them; may forget all.
  void span(std::uint64_t entries) noexcept {
    if (entries != span_) [[unlikely]]
      set_span(entries);
  }
  void add(std::uint32_t hash, std::uint16_t mark) noexcept;
  // Asks for the line in which this one is, or will be.
  void prefetch(std::uint32_t hash) const noexcept {
    if (entries_ != nullptr) __builtin_prefetch(bucket(hash), 1);
  }
  // Whether it was among them; it is no more.
  bool take(std::uint32_t hash, std::uint16_t mark) noexcept;
  void clear() noexcept;

 private:
  static constexpr std::uint32_t ways = 8;

  struct entry {
    std::uint16_t mark = 0;  // odd; 0: none
    std::uint16_t when = 0;
  };
  void set_span(std::uint64_t entries) noexcept;
  std::uint16_t now() const noexcept { return static_cast<std::uint16_t>(added_ >> shift_); }
  std::uint16_t age(const entry& e) const noexcept {
    return static_cast<std::uint16_t>(now() - e.when);
  }
  entry* bucket(std::uint32_t hash) const noexcept {
    return entries_ + std::size_t{hash & mask_} * ways;
  }

  entry* entries_ = nullptr;
  std::uint32_t mask_ = 0;  // buckets less one
  std::uint16_t shift_ = 0;
  std::uint16_t oldest_ = 0;  // age
  std::uint64_t added_ = 0;
  std::uint64_t span_ = 0;
};

// S3-FIFO (Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all you need for cache eviction",
// SOSP 2023): newcomers pass through a small queue, a tenth of the capacity. Those that were found
// there again go on to the main queue; the others are evicted and remembered, and go to the main
// queue at once if they come back soon. In the main queue an entry that was found since it last
// came to the end gets another round. So a hit moves nothing, and what is asked for once passes
// without pushing out what is asked for often. Why this one: docs/adr/0019-cache-eviction.md.
//
// Array: numbers to objects that derive from cache_link.
template <class Array>
class s3_fifo {
 public:
  s3_fifo(Array& links, std::uint64_t capacity) noexcept
      : links_(links), small_share_(capacity / 10) {}

  void insert(std::uint32_t n, std::uint64_t weight) noexcept {
    cache_link& l = links_[n];
    l.uses.store(0, prim::relaxed);
    append(ghosts_.take(l.hash, l.mark) ? cache_link::place::main : cache_link::place::small, n,
           weight);
  }
  // Takes the victim out, and remembers it if it was a newcomer.
  void evict(std::uint32_t n, std::uint64_t weight) noexcept {
    const bool was_new = links_[n].where == cache_link::place::small;
    if (was_new) ghosts_.span(small_.count + main_.count);
    remove(n, weight);
    if (was_new) ghosts_.add(links_[n].hash, links_[n].mark);
  }
  // Takes it out. Also of entries that stay remembered.
  void remove(std::uint32_t n, std::uint64_t weight) noexcept {
    cache_link& l = links_[n];
    queue& q = of(l.where);
    (l.before != cache_link::none ? links_[l.before].after : q.first) = l.after;
    (l.after != cache_link::none ? links_[l.after].before : q.last) = l.before;
    q.weight -= weight;
    --q.count;
    l.where = cache_link::place::nowhere;
  }
  // The second, which is nowhere, takes the place of the first, which then is nowhere.
  void exchange(std::uint32_t old, std::uint64_t old_weight, std::uint32_t n,
                std::uint64_t weight) noexcept {
    cache_link& from = links_[old];
    cache_link& to = links_[n];
    queue& q = of(from.where);
    to.before = from.before;
    to.after = from.after;
    to.where = from.where;
    to.uses.store(from.uses.load(prim::relaxed), prim::relaxed);
    (to.before != cache_link::none ? links_[to.before].after : q.first) = n;
    (to.after != cache_link::none ? links_[to.after].before : q.last) = n;
    reweigh(n, old_weight, weight);
    from.where = cache_link::place::nowhere;
  }
  void reweigh(std::uint32_t n, std::uint64_t before, std::uint64_t now) noexcept {
    queue& q = of(links_[n].where);
    q.weight += now - before;
  }

  // Asks for the lines that insert() and victim() will read first.
  void prefetch(std::uint32_t hash) const noexcept {
    ghosts_.prefetch(hash);
    const std::uint32_t n = next();
    if (n != cache_link::none) __builtin_prefetch(&links_[n], 1);
  }

  // The entry that has to go; it is still in its queue. weight(n) tells what it weighs.
  // Requires: not empty. Looks at a bounded number of entries, whatever others find meanwhile.
  template <class Weight>
  std::uint32_t victim(Weight weight) noexcept {
    for (unsigned looks = 0;; ++looks) {
      const std::uint32_t n = next();
      cache_link& l = links_[n];
      const bool from_small = l.where == cache_link::place::small;
      const std::uint8_t uses = l.uses.load(prim::relaxed);
      const bool stays = from_small ? uses >= uses_to_stay : uses > 0;
      if (!stays || looks == most_looks) {
        if (from_small) ghosts_.prefetch(l.hash);
        return n;
      }
      // The one behind it is probably the next to be looked at.
      if (l.after != cache_link::none) __builtin_prefetch(&links_[l.after], 1);
      const std::uint64_t w = weight(n);
      remove(n, w);
      l.uses.store(from_small ? std::uint8_t{0} : static_cast<std::uint8_t>(uses - 1),
                   prim::relaxed);
      append(cache_link::place::main, n, w);
    }
  }

  // f(number) for each, eldest first.
  template <class F>
  void for_each(F f) const {
    for (const queue* q : {&main_, &small_}) {
      for (std::uint32_t n = q->first; n != cache_link::none;) {
        const std::uint32_t next = links_[n].after;
        f(n);
        n = next;
      }
    }
  }
  void forget() noexcept { ghosts_.clear(); }

 private:
  static constexpr unsigned most_looks = 64;
  static constexpr std::uint8_t uses_to_stay = 2;

  struct queue {
    std::uint32_t first = cache_link::none;  // the eldest
    std::uint32_t last = cache_link::none;
    std::uint32_t count = 0;
    std::uint64_t weight = 0;
  };

  queue& of(cache_link::place p) noexcept { return p == cache_link::place::small ? small_ : main_; }
  void append(cache_link::place p, std::uint32_t n, std::uint64_t weight) noexcept {
    queue& q = of(p);
    cache_link& l = links_[n];
    l.where = p;
    l.before = q.last;
    l.after = cache_link::none;
    (q.last != cache_link::none ? links_[q.last].after : q.first) = n;
    q.last = n;
    q.weight += weight;
    ++q.count;
  }
  // Where a victim is looked for: none when there is no entry.
  std::uint32_t next() const noexcept {
    const bool from_small =
        small_.count != 0 && (small_.weight >= small_share_ || main_.count == 0);
    return from_small ? small_.first : main_.first;
  }

  queue small_;
  queue main_;
  ghost_list ghosts_;
  Array& links_;
  const std::uint64_t small_share_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
