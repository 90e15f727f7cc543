// A bounded table of keys and values that knows what to evict: a part of a cache, or a thread's.
// For the library's own use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/data/cache_field.hpp>
#include <heddle/data/cache_index.hpp>
#include <heddle/data/cache_options.hpp>
#include <heddle/data/eviction.hpp>
#include <heddle/data/growing_array.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/prefetch.hpp>
#include <heddle/probe/counters.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// std::hash of a number is often that number. One multiplication whose halves are folded mixes all
// bits into all others.
inline std::uint64_t mixed(std::uint64_t hash) noexcept {
  __extension__ using wide = unsigned __int128;
  const wide product = static_cast<wide>(hash ^ 0x9E3779B97F4A7C15ULL) * 0xD6E8FEB86659FD93ULL;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// One thread at a time, but for peek(), which any number may call meanwhile.
template <class K, class V, class Equal>
class cache_table {
 public:
  static constexpr std::uint32_t none = cache_link::none;
  static constexpr bool by_words = copied_by_words<K> && copied_by_words<V>;
  // By the time that peek() compares keys, an entry may have left, with all that its key refers to.
  static constexpr bool peeks = by_words && compares_own_bytes<K, Equal>;

  // Entries that have left the table, until their memory is given back.
  class removed {
   public:
    bool empty() const noexcept { return first_ == none; }

   private:
    friend class cache_table;
    std::uint32_t first_ = none;
  };

  enum class sight : std::uint8_t { hit, miss, expired, torn };

  // A scope in which something changes that peek() must notice: what it looks at is stored with
  // release. Not inside of another one.
  class [[nodiscard]] change {
   public:
    explicit change(cache_table& t) noexcept : version_(t.version_) {
      if constexpr (peeks) version_.store(version() + 1, prim::relaxed);
    }
    ~change() {
      if constexpr (peeks) version_.store(version() + 1, prim::release);
    }
    change(const change&) = delete;
    change& operator=(const change&) = delete;

   private:
    std::uint32_t version() const noexcept { return version_.load(prim::relaxed); }

    prim::atomic<std::uint32_t>& version_;
  };

  cache_table(const cache_limits& limits, const Equal& equal)
      : limits_(limits), equal_(equal), queues_(nodes_, limits.capacity) {}
  ~cache_table() {
    queues_.for_each([this](std::uint32_t n) { destroy(nodes_[n]); });
  }

  bool fits(std::uint64_t weight) const noexcept {
    return limits_.capacity != 0 && weight <= limits_.capacity;
  }
  bool equal(const K& a, const K& b) const { return equal_(a, b); }

  // Whether a look-up changes nothing but how popular an entry is.
  bool can_peek() const noexcept { return peeks && limits_.after_access == 0; }
  // A copy of the value, taken while another may change the table; torn where one was noticed.
  sight peek(std::uint64_t hash, const K& key, cache_time now, std::optional<V>& value) const {
    static_assert(peeks);
    const std::uint32_t version = version_.load(prim::acquire);
    if ((version & 1) != 0) return sight::torn;
    const auto valid = [&] { return version_.load(prim::relaxed) == version; };
    const auto low = static_cast<std::uint32_t>(hash);
    const cache_index::view v = index_.look();
    std::size_t place = v.home(low);
    for (std::size_t left = v.size(); left != 0; --left, place = v.after(place)) {
      const cache_index::slot s = v.at(place);
      if (s.empty()) return valid() ? sight::miss : sight::torn;
      if (s.hash() != low) continue;
      node& n = nodes_[s.number()];
      const K found = n.key.get();
      const V held = n.value.get();
      const bool over = limits_.expires() && is_over(s.number(), now);
      if (!valid()) return sight::torn;
      if (!equal_(found, key)) continue;
      if (over) return sight::expired;
      n.touch();
      value.emplace(held);
      return sight::hit;
    }
    return sight::torn;
  }

  // The entry's number, or none. Throws what Equal throws.
  std::uint32_t find(std::uint64_t hash, const K& key) const {
    std::uint32_t found = none;
    index_.find(static_cast<std::uint32_t>(hash), [&](std::uint32_t n) {
      if (!equal_(nodes_[n].key.get(), key)) return false;
      found = n;
      return true;
    });
    return found;
  }
  bool over(std::uint32_t n, cache_time now) const noexcept {
    return limits_.expires() && is_over(n, now);
  }
  void touch(std::uint32_t n, cache_time now) noexcept {
    nodes_[n].touch();
    if (limits_.after_access != 0) extras_[n].used.store(now, prim::release);
  }
  // A reference, or a copy where others may take one, too.
  decltype(auto) key(std::uint32_t n) const noexcept { return nodes_[n].key.get(); }
  decltype(auto) value(std::uint32_t n) const noexcept { return nodes_[n].value.get(); }

  // Whether another value for this entry is one store that peek() sees or does not see.
  bool replaces_at_once(std::uint32_t old) const noexcept {
    return old != none && cache_field<V, by_words>::changes_at_once && !has_extras() &&
           !keeps_removed();
  }
  // Gives the key this value. Requires: fits(weight); `old` is what find() finds.
  // Throws std::bad_alloc and what moving a key or a value throws; nothing has changed.
  void put(std::uint32_t old, std::uint64_t hash, K&& key, V&& value, std::uint64_t weight,
           cache_time now, removed& gone) {
    if (old != none && over(old, now)) {
      const std::uint32_t n = make(hash, std::move(key), std::move(value), weight, now);
      remove(old, removal_cause::expired, gone);
      link(n, weight, gone);
    } else if (old == none) {
      link(make(hash, std::move(key), std::move(value), weight, now), weight, gone);
    } else if (!keeps_removed()) {
      // In place: neither construct nor destroy does anything but copy.
      if constexpr (by_words) nodes_[old].value.construct(std::move(value));
      nodes_[old].touch();
      replaced_.add();
      if (!has_extras()) return;
      const std::uint64_t before = weight_of(old);
      note(old, weight, now);
      queues_.reweigh(old, before, weight);
      total_.store(total() + weight - before, prim::relaxed);
      make_room(0, gone);
    } else {
      const std::uint32_t n = make(hash, std::move(key), std::move(value), weight, now);
      const std::uint64_t before = weight_of(old);
      index_.exchange(place_of(old), n);
      queues_.exchange(old, before, n, weight);
      total_.store(total() + weight - before, prim::relaxed);
      nodes_[n].touch();
      replaced_.add();
      leave(old, removal_cause::replaced, gone);
      make_room(0, gone);
    }
  }

  void remove(std::uint32_t n, removal_cause cause, removed& gone) noexcept {
    index_.erase(place_of(n));
    const std::uint64_t weight = weight_of(n);
    if (cause == removal_cause::evicted) {
      queues_.evict(n, weight);
    } else {
      queues_.remove(n, weight);
    }
    total_.store(total() - weight, prim::relaxed);
    count_.store(size() - 1, prim::relaxed);
    counter(cause).add();
    leave(n, cause, gone);
  }
  void clear(removed& gone) noexcept {
    queues_.for_each([&](std::uint32_t n) { remove(n, removal_cause::erased, gone); });
    queues_.forget();
  }
  void remove_expired(cache_time now, removed& gone) noexcept {
    if (!limits_.expires()) return;
    queues_.for_each([&](std::uint32_t n) {
      if (is_over(n, now)) remove(n, removal_cause::expired, gone);
    });
  }
  void count_too_heavy() noexcept {
    evicted_.add();
    too_heavy_.add();
  }

  // Whether what has left is to be told, or destroyed, before its memory is given back.
  bool keeps_removed() const noexcept { return !by_words || limits_.told; }
  // f(const K&, const V&, cause) for each; then they are destroyed. Others may use the table
  // meanwhile. f does not throw.
  template <class F>
  void tell(const removed& gone, F f) noexcept {
    for (std::uint32_t n = gone.first_; n != none; n = nodes_[n].after) {
      node& left = nodes_[n];
      f(left.key.get(), left.value.get(), static_cast<removal_cause>(left.mark));
      destroy(left);
    }
  }
  void give_back(removed& gone) noexcept {
    while (gone.first_ != none) {
      const std::uint32_t n = gone.first_;
      gone.first_ = nodes_[n].after;
      free(n);
    }
  }

  template <class F>
  void for_each(cache_time now, F f) const {
    queues_.for_each([&](std::uint32_t n) {
      if (!over(n, now)) f(nodes_[n].key.get(), nodes_[n].value.get());
    });
  }
  // Asks for what an entry of this hash that is not there yet will need, if another has to go.
  void prefetch_for_newcomer(std::uint64_t hash) const noexcept {
    if (total() >= limits_.capacity) queues_.prefetch(static_cast<std::uint32_t>(hash));
  }
  // Asks for the line in which the search for this hash begins.
  void prefetch(std::uint64_t hash) const noexcept {
    const cache_index::view v = index_.look();
    __builtin_prefetch(v.address(v.home(static_cast<std::uint32_t>(hash))));
  }

  // A moment's truth on any thread.
  std::size_t size() const noexcept { return count_.load(prim::relaxed); }
  void add_to(cache_statistics& s) const noexcept {
    s.inserts += inserts_.read();
    s.replaced += replaced_.read();
    s.erased += erased_.read();
    s.expired += expired_.read();
    s.evicted += evicted_.read();
    s.too_heavy += too_heavy_.read();
    s.entries += size();
    s.weight += total();
  }

 private:
  struct node : cache_link {
    cache_field<K, by_words> key;
    cache_field<V, by_words> value;
  };
  // What only entries that expire or weigh something need.
  struct extra {
    prim::atomic<cache_time> written{0};
    prim::atomic<cache_time> used{0};
    std::uint64_t weight = 0;
  };

  bool has_extras() const noexcept { return limits_.weighted || limits_.expires(); }
  bool is_over(std::uint32_t n, cache_time now) const noexcept {
    const extra& e = extras_[n];
    return (limits_.after_write != 0 &&
            now - e.written.load(prim::acquire) >= limits_.after_write) ||
           (limits_.after_access != 0 && now - e.used.load(prim::acquire) >= limits_.after_access);
  }
  std::uint64_t weight_of(std::uint32_t n) const noexcept {
    return limits_.weighted ? extras_[n].weight : 1;
  }
  std::uint64_t total() const noexcept { return total_.load(prim::relaxed); }
  std::size_t place_of(std::uint32_t n) const noexcept {
    return index_.find(nodes_[n].hash, [n](std::uint32_t other) { return other == n; });
  }

  // A new entry that is in no queue. Afterwards the index has room for it.
  std::uint32_t make(std::uint64_t hash, K&& key, V&& value, std::uint64_t weight, cache_time now) {
    index_.reserve_one(size());
    if (free_ == none) {
      nodes_.reserve_one();
      if (has_extras()) {
        extras_.reserve_one();
        extras_.add();
      }
      free(nodes_.add());
    }
    const std::uint32_t n = free_;
    node& fresh = nodes_[n];
    fresh.key.construct(std::move(key));
    try {
      fresh.value.construct(std::move(value));
    } catch (...) {
      fresh.key.destroy();
      throw;
    }
    free_ = fresh.after;
    fresh.hash = static_cast<std::uint32_t>(hash);
    fresh.mark = static_cast<std::uint16_t>(hash >> 32);
    note(n, weight, now);
    return n;
  }
  void note(std::uint32_t n, std::uint64_t weight, cache_time now) noexcept {
    if (!has_extras()) return;
    extra& e = extras_[n];
    e.written.store(now, prim::release);
    e.used.store(now, prim::release);
    e.weight = weight;
  }
  void link(std::uint32_t n, std::uint64_t weight, removed& gone) noexcept {
    make_room(weight, gone);
    queues_.insert(n, weight);
    index_.insert(nodes_[n].hash, n);
    total_.store(total() + weight, prim::relaxed);
    count_.store(size() + 1, prim::relaxed);
    inserts_.add();
  }
  void make_room(std::uint64_t weight, removed& gone) noexcept {
    while (total() > limits_.capacity - weight) {
      remove(queues_.victim([this](std::uint32_t n) { return weight_of(n); }),
             removal_cause::evicted, gone);
    }
  }

  void leave(std::uint32_t n, removal_cause cause, removed& gone) noexcept {
    if (!keeps_removed()) {
      free(n);
      return;
    }
    nodes_[n].mark = static_cast<std::uint16_t>(cause);  // which nobody needs any more
    nodes_[n].after = gone.first_;
    gone.first_ = n;
  }
  void free(std::uint32_t n) noexcept {
    nodes_[n].after = free_;
    free_ = n;
  }
  static void destroy(node& n) noexcept {
    n.key.destroy();
    n.value.destroy();
  }
  owned_counter& counter(removal_cause cause) noexcept {
    switch (cause) {
      case removal_cause::replaced:
        return replaced_;
      case removal_cause::erased:
        return erased_;
      case removal_cause::expired:
        return expired_;
      default:
        return evicted_;
    }
  }

  // First what a look-up reads; then the version, which it need not have before it looks for the
  // entry, with the other things that newcomers change; last what each put changes, so that one of
  // a key that is there takes no line from those who only look.
  cache_index index_;
  const cache_limits limits_;
  [[no_unique_address]] Equal equal_;
  growing_array<node> nodes_;
  growing_array<extra> extras_;
  owned_counter erased_;
  owned_counter expired_;
  owned_counter too_heavy_;
  alignas(cache_line) prim::atomic<std::uint32_t> version_{0};  // odd: what peek() reads changes
  std::uint32_t free_ = none;
  s3_fifo<growing_array<node>> queues_;
  alignas(cache_line) owned_counter replaced_;
  prim::atomic<std::uint64_t> total_{0};
  prim::atomic<std::size_t> count_{0};
  owned_counter inserts_;
  owned_counter evicted_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
