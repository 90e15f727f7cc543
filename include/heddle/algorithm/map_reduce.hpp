// Grouping what a function makes of a range by key, in parallel, with a result that does not depend
// on who did what.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

struct map_reduce_options {
  // Elements that one task maps, and within which a combiner combines. 0: a 256th of the range, or
  // one.
  std::size_t block = 0;
  prim::stop_token stop{};
};

namespace detail {

// A key and a value that map has emitted, linked to those behind it.
template <class Key, class Value>
struct emission {
  template <class K>
  emission(std::uint64_t hash_of_key, K&& k, Value&& v)
      : hash(hash_of_key), key(std::forward<K>(k)), value(std::move(v)) {}

  union {
    std::uint64_t hash;
    void* result;  // after grouping: for the first one of a key; the others have null
  };
  emission* next = nullptr;  // of its block and partition; after grouping, of its key
  Key key;
  Value value;
};

// The values of one key, in the order of the input: what reduce is called with.
template <class Key, class Value>
class key_values : public std::ranges::view_interface<key_values<Key, Value>> {
 public:
  class iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using pointer = Value*;
    using reference = Value&;

    iterator() = default;
    explicit iterator(emission<Key, Value>* at) noexcept : at_(at) {}

    Value& operator*() const noexcept { return at_->value; }
    Value* operator->() const noexcept { return &at_->value; }
    iterator& operator++() noexcept {
      at_ = at_->next;
      return *this;
    }
    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const iterator&, const iterator&) = default;

   private:
    emission<Key, Value>* at_ = nullptr;
  };

  key_values(emission<Key, Value>* first, std::size_t size) noexcept : first_(first), size_(size) {}

  iterator begin() const noexcept { return iterator(first_); }
  iterator end() const noexcept { return {}; }
  std::size_t size() const noexcept { return size_; }

 private:
  emission<Key, Value>* first_;
  std::size_t size_;
};

// Numbers for keys, from 0, in the order in which they come: a hash table with linear probing.
class key_numbers {
 public:
  // The number for which same(number) holds among those with that hash, or else the next one.
  template <class Same>
  std::size_t number_of(std::uint64_t hash, Same same) {
    if (2 * count_ >= slots_.size()) grow();
    slot& s = find(hash, same);
    if (s.next_number == 0) s = {hash, ++count_};
    return s.next_number - 1;
  }

 private:
  struct slot {
    std::uint64_t hash = 0;
    std::size_t next_number = 0;  // one more than the number; 0: nobody's
  };

  template <class Same>
  slot& find(std::uint64_t hash, Same same) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      slot& s = slots_[i];
      if (s.next_number == 0 || (s.hash == hash && same(s.next_number - 1))) return s;
    }
  }

  void grow() {
    std::vector<slot> before(std::max<std::size_t>(16, 2 * slots_.size()));
    before.swap(slots_);
    for (const slot& s : before) {
      if (s.next_number != 0) find(s.hash, [](std::size_t) { return false; }) = s;
    }
  }

  std::vector<slot> slots_;
  std::size_t count_ = 0;
};

// Hashes of many types have their entropy in a few bits.
// Source: the finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014; D. Stafford's
// constants).
inline std::uint64_t spread_hash(std::uint64_t h) noexcept {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9U;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebU;
  return h ^ (h >> 31);
}

struct no_combiner {};

// What map calls with a key and a value.
template <class Key, class Value, class Hash, class Equal, class Combine>
class emitter {
 public:
  emitter(std::vector<emission<Key, Value>>& items, Combine& combine)
      : items_(items), combine_(combine) {}
  emitter(const emitter&) = delete;
  emitter& operator=(const emitter&) = delete;

  void operator()(const Key& key, Value value) { add(key, std::move(value)); }
  void operator()(Key&& key, Value value) { add(std::move(key), std::move(value)); }

 private:
  template <class K>
  void add(K&& key, Value&& value) {
    const std::uint64_t hash = spread_hash(hash_(std::as_const(key)));
    if constexpr (!std::same_as<Combine, no_combiner>) {
      const std::size_t number = numbers_.number_of(hash, [&](std::size_t i) -> bool {
        return equal_(std::as_const(items_[i].key), std::as_const(key));
      });
      if (number != items_.size()) {
        Value& sum = items_[number].value;
        sum = detail::invoke(combine_, std::move(sum), std::move(value));
        return;
      }
    }
    items_.emplace_back(hash, std::forward<K>(key), std::move(value));
  }

  std::vector<emission<Key, Value>>& items_;
  Combine& combine_;
  [[no_unique_address]] Hash hash_;
  [[no_unique_address]] Equal equal_;
  key_numbers numbers_;  // of a combiner
};

// One map_reduce. A block of the range is mapped by one task, into a list in the order of the
// input; its keys belong to partitions. A partition is grouped and reduced by one task, block by
// block, which is the order of the input again. Who runs the tasks, and when, changes nothing.
template <class Key, class Value, class Hash, class Equal, class Map, class Combine, class Reduce>
class map_reduction {
  using item = emission<Key, Value>;
  using values = key_values<Key, Value>;

 public:
  using reduced = std::decay_t<std::invoke_result_t<Reduce&, const Key&, values>>;
  using result = std::vector<std::pair<Key, reduced>>;

  map_reduction(Map& map, Combine& combine, Reduce& reduce)
      : map_(map), combine_(combine), reduce_(reduce) {}

  template <class Iterator>
  result run(const loop_place& where, Iterator first, std::size_t size,
             const map_reduce_options& options) {
    const std::size_t length = options.block != 0 ? options.block : (size + 255) / 256;
    if (size == 0) return {};
    blocks_.resize((size - 1) / length + 1);
    partitions_.resize(std::min<std::size_t>(blocks_.size(), 64));
    each_by_itself(where, blocks_.size(), options.stop, [&](std::size_t i) {
      map_block(blocks_[i], first, i * length, std::min(size - i * length, length));
    });
    each_by_itself(where, partitions_.size(), options.stop,
                   [this](std::size_t i) { reduce_partition(i); });
    return take_results();
  }

 private:
  struct block {
    std::vector<item> items;
    std::vector<item*> heads;  // for each partition, its first item
  };
  struct group {
    item* first;
    item* last;
    std::size_t size;
  };
  struct outcome {
    reduced value;
  };

  // f(0), ..., f(count - 1), each worth a task. Throws `cancelled` when a stop came before the
  // last.
  template <class F>
  static void each_by_itself(const loop_place& where, std::size_t count,
                             const prim::stop_token& stop, F f) {
    prim::atomic<bool> left_out{false};
    const auto step = [&](std::size_t i) {
      if (stop.stop_requested()) return left_out.store(true, prim::relaxed);
      f(i);
    };
    run_over<index_loop>(where, index_row<std::size_t>{0, count}, step, {.grain = 1}, "map_reduce");
    if (left_out.load(prim::relaxed)) throw cancelled("map_reduce: a stop was requested");
  }

  template <class Iterator>
  void map_block(block& b, const Iterator& range, std::size_t from, std::size_t count) {
    {
      emitter<Key, Value, Hash, Equal, Combine> emit(b.items, combine_);
      using distance = std::iter_difference_t<Iterator>;
      auto element = range + static_cast<distance>(from);
      for (std::size_t i = 0; i != count; ++i, ++element) detail::invoke(map_, *element, emit);
    }
    b.heads.resize(partitions_.size());
    for (auto it = b.items.rbegin(); it != b.items.rend(); ++it) {
      item*& head = b.heads[partition_of(it->hash)];
      it->next = std::exchange(head, &*it);
    }
  }

  std::size_t partition_of(std::uint64_t hash) const noexcept {
    return static_cast<std::size_t>((hash >> 32) * partitions_.size() >> 32);
  }

  void reduce_partition(std::size_t partition) {
    const std::vector<group> groups = groups_of(partition);
    std::vector<outcome>& outcomes = partitions_[partition];
    outcomes.reserve(groups.size());
    for (const group& g : groups) {
      outcomes.push_back(
          {detail::invoke(reduce_, std::as_const(g.first->key), values(g.first, g.size))});
      g.first->result = &outcomes.back();
    }
  }

  std::vector<group> groups_of(std::size_t partition) {
    std::vector<group> groups;
    key_numbers numbers;
    const Equal equal{};
    for (block& b : blocks_) {
      for (item* e = b.heads[partition]; e != nullptr;) {
        item& here = *e;
        const std::size_t number = numbers.number_of(here.hash, [&](std::size_t i) -> bool {
          return equal(std::as_const(groups[i].first->key), std::as_const(here.key));
        });
        e = std::exchange(here.next, nullptr);
        here.result = nullptr;
        if (number == groups.size()) {
          groups.push_back({&here, &here, 1});
        } else {
          group& g = groups[number];
          g.last = g.last->next = &here;
          ++g.size;
        }
      }
    }
    return groups;
  }

  result take_results() {
    std::size_t keys = 0;
    for (const std::vector<outcome>& p : partitions_) keys += p.size();
    result all;
    all.reserve(keys);
    for (block& b : blocks_) {
      for (item& e : b.items) {
        if (e.result == nullptr) continue;
        all.emplace_back(std::move(e.key), std::move(static_cast<outcome*>(e.result)->value));
      }
    }
    return all;
  }

  Map& map_;
  Combine& combine_;
  Reduce& reduce_;
  std::vector<block> blocks_;
  std::vector<std::vector<outcome>> partitions_;
};

template <class Key, class Value, class Hash, class Equal, class R, class Map, class Combine,
          class Reduce>
auto map_reduce_on(const loop_place& where, R& range, Map& map, Combine& combine, Reduce& reduce,
                   const map_reduce_options& options) {
  require_callable(map, "map_reduce");
  require_callable(combine, "map_reduce");
  require_callable(reduce, "map_reduce");
  const auto first = std::ranges::begin(range);
  std::size_t size = 0;
  if constexpr (std::ranges::sized_range<R>) {
    size = size_of_range(range, "map_reduce");
  } else {
    size = static_cast<std::size_t>(std::ranges::distance(range));
  }
  return map_reduction<Key, Value, Hash, Equal, Map, Combine, Reduce>(map, combine, reduce)
      .run(where, first, size, options);
}

}  // namespace detail

// For each element of the range calls map(element, emit), which may call emit(key, value) any
// number of times; then, for each key, reduce(key, values), where `values` is a forward range that
// knows its size; and returns the pairs of a key and what reduce made of it.
//
//   heddle::map_reduce<std::string, int>(lines, split, [](const std::string&, auto counts) {
//     return std::accumulate(counts.begin(), counts.end(), 0);
//   });
//
// With a combiner, combine(value, value) makes one value of two as soon as they meet in one block
// of the range. It has to be associative; reduce gets at most one value for each block then.
//
// Deterministic: the values of a key are combined, and given to reduce, in the order of the input,
// and the keys come in the order in which they first appeared there. None of this depends on the
// number of workers, or on what they do when. (Where blocks end depends on options.block and the
// range's length, and that shows when a combiner is not quite associative.)
// Requires: map, combine, reduce, Hash and Equal may be called concurrently; `emit` is called by
// map itself, before it returns. Equal keys have equal hashes.
// Effects: reduce may change the values and move from them. Keys and values need only be movable.
// Runs in parallel on the pool of the calling worker, or on the default pool; see parallel_for.
// Blocks until all is done. Allocates.
// Throws the first exception of what it calls, or of the range's iterators; what has not begun by
// then is left out. `cancelled` when options.stop is tripped before the last task has begun;
// std::invalid_argument for a null callable, and for a range that ends before it begins.
// Complexity: the emitted pairs are in memory, 16 bytes more for each; with a combiner one for each
// key and block. Linear in them, while hashes differ.
// Source: Dean and Ghemawat, "MapReduce", OSDI 2004.
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>,
          std::ranges::random_access_range R, class Map, class Reduce>
auto map_reduce(R&& range, Map&& map, Reduce&& reduce, const map_reduce_options& options = {}) {
  detail::no_combiner none;
  return detail::map_reduce_on<Key, Value, Hash, Equal>({}, range, map, none, reduce, options);
}
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>,
          std::ranges::random_access_range R, class Map, class Combine, class Reduce>
  requires(!std::same_as<std::remove_cvref_t<Reduce>, map_reduce_options>)
auto map_reduce(R&& range, Map&& map, Combine&& combine, Reduce&& reduce,
                const map_reduce_options& options = {}) {
  return detail::map_reduce_on<Key, Value, Hash, Equal>({}, range, map, combine, reduce, options);
}

// The same on that pool, or on any executor. On one that is no pool the caller takes part, and what
// the executor does not run it does alone: see parallel_for. Throws std::invalid_argument for a
// null executor as well.
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>,
          runs_loops Where, std::ranges::random_access_range R, class Map, class Reduce>
auto map_reduce(Where&& where, R&& range, Map&& map, Reduce&& reduce,
                const map_reduce_options& options = {}) {
  detail::no_combiner none;
  return detail::map_reduce_on<Key, Value, Hash, Equal>(detail::loop_place(where), range, map, none,
                                                        reduce, options);
}
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>,
          runs_loops Where, std::ranges::random_access_range R, class Map, class Combine,
          class Reduce>
  requires(!std::same_as<std::remove_cvref_t<Reduce>, map_reduce_options>)
auto map_reduce(Where&& where, R&& range, Map&& map, Combine&& combine, Reduce&& reduce,
                const map_reduce_options& options = {}) {
  return detail::map_reduce_on<Key, Value, Hash, Equal>(detail::loop_place(where), range, map,
                                                        combine, reduce, options);
}

}  // namespace heddle::inline HEDDLE_ABI
