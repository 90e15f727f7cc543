// A dictionary that any number of threads use at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/data/exchangeable.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/lock_statistics.hpp>
#include <heddle/probe/per_thread.hpp>
#include <heddle/sync/rw_lock.hpp>

namespace heddle::inline HEDDLE_ABI {

// A function that was given to a dictionary used that dictionary itself.
class HEDDLE_API recursive_use : public error {
 public:
  recursive_use();
  ~recursive_use() override;
};

// What was done with a dictionary so far. A look-up is a hit when it finds its key: get, get_or,
// contains, get_or_insert and update.
struct dictionary_statistics {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t inserts = 0;  // keys that were not there before
  std::uint64_t updates = 0;  // values that took the place of others
  std::uint64_t erases = 0;
  lock_statistics lock;  // all zero unless the lock is recorded: record(), record_locks()

  // Of all look-ups; 0 when there was none.
  double hit_share() const noexcept {
    const auto all = static_cast<double>(hits + misses);
    return all > 0 ? static_cast<double>(hits) / all : 0;
  }
};

namespace detail {

// The dictionaries whose functions the calling thread is inside of, innermost first.
class HEDDLE_API dictionary_call {
 public:
  explicit dictionary_call(const void* dictionary) noexcept;
  ~dictionary_call();
  dictionary_call(const dictionary_call&) = delete;
  dictionary_call& operator=(const dictionary_call&) = delete;

  // Throws recursive_use when this thread is inside a function of this dictionary.
  static void refuse_inside(const void* dictionary);

 private:
  const void* dictionary_;
  dictionary_call* outer_;
};

}  // namespace detail

// Keys with values. Each call is atomic: it happens at one moment, as the others see it. What it
// returns is a copy, so values that are expensive to copy are held by a shared pointer.
//
// Requires: K and V are copyable; Hash and Equal are as std::unordered_map wants them. None of
// their functions uses the dictionary itself.
// Functions that are given to it (get_or_insert, update, edit, for_each) run while its lock is
// held: for others they are a part of the call, so let them be brief. One that uses the dictionary
// gets recursive_use, on whatever level of calls. Exceptions: what a hash, a comparison, a copy or
// a given function throws goes to the caller, and the dictionary is as before the call. Besides,
// std::bad_alloc, and would_starve as rw_lock throws it.
//
// Thread-safety: every function from any thread. Memory ordering: a call that writes synchronizes
// with each later call. Blocks? As rw_lock; calls that only read wait for writes alone.
// Values and keys that are taken out are destroyed after the lock was let go of.
// Destruction: no thread is inside a call, or will be.
template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class dictionary {
  using held = detail::exchangeable<V>;
  using map = std::unordered_map<K, held, Hash, Equal>;

 public:
  // Changes that are made at once, or not at all: see apply. The last change of a key counts.
  class batch {
   public:
    explicit batch(const Hash& hash = Hash(), const Equal& equal = Equal())
        : sets_(0, hash, equal), erases_(0, hash, equal) {}

    void set(K key, V value) {
      held mine(std::move(value));
      const auto [at, is_new] = sets_.try_emplace(key, std::move(mine));
      if (!is_new) at->second.swap(mine);  // try_emplace has left it as it was
      erases_.erase(key);
    }
    void erase(const K& key) {
      erases_.insert(key);
      sets_.erase(key);
    }
    std::size_t size() const noexcept { return sets_.size() + erases_.size(); }

   private:
    friend class dictionary;
    map sets_;
    std::unordered_set<K, Hash, Equal> erases_;
  };

  // What a function that is given to edit() sees: the dictionary with its own changes.
  class editor {
   public:
    std::optional<V> get(const K& key) const {
      if (const auto own = changes_.sets_.find(key); own != changes_.sets_.end()) {
        return own->second.get();
      }
      if (changes_.erases_.contains(key)) return std::nullopt;
      const auto at = entries_.find(key);
      if (at == entries_.end()) return std::nullopt;
      return at->second.get();
    }
    void set(K key, V value) { changes_.set(std::move(key), std::move(value)); }
    void erase(const K& key) { changes_.erase(key); }

   private:
    friend class dictionary;
    explicit editor(const map& entries)
        : entries_(entries), changes_(entries.hash_function(), entries.key_eq()) {}
    const map& entries_;
    batch changes_;
  };

  dictionary() = default;
  // With a name for reports of its lock. Throws std::bad_alloc.
  explicit dictionary(std::string_view name, const Hash& hash = Hash(),
                      const Equal& equal = Equal())
      : lock_(name), entries_(0, hash, equal) {}
  dictionary(const dictionary&) = delete;
  dictionary& operator=(const dictionary&) = delete;

  std::optional<V> get(const K& key) const {
    refuse_recursion();
    const read_guard locked(lock_);
    const auto at = entries_.find(key);
    const bool there = at != entries_.end();
    looked_up(there);
    return there ? std::optional<V>(at->second.get()) : std::nullopt;
  }
  V get_or(const K& key, V otherwise) const {
    refuse_recursion();
    const read_guard locked(lock_);
    const auto at = entries_.find(key);
    const bool there = at != entries_.end();
    looked_up(there);
    return there ? at->second.get() : std::move(otherwise);
  }
  bool contains(const K& key) const {
    refuse_recursion();
    const read_guard locked(lock_);
    const bool there = entries_.contains(key);
    looked_up(there);
    return there;
  }
  std::size_t size() const {
    refuse_recursion();
    const read_guard locked(lock_);
    return entries_.size();
  }
  bool empty() const { return size() == 0; }

  // Gives the key this value. True when it had none before.
  bool set(K key, V value) {
    held mine(std::move(value));
    refuse_recursion();
    const write_guard locked(lock_);
    const auto [at, is_new] = entries_.try_emplace(std::move(key), std::move(mine));
    (is_new ? inserts_ : updates_).add();
    if (!is_new) at->second.swap(mine);  // try_emplace has left both as they were
    return is_new;
  }
  // Gives the key this value unless it has one. True when it had none.
  bool insert(K key, V value) {
    held mine(std::move(value));
    refuse_recursion();
    const write_guard locked(lock_);
    const bool is_new = entries_.try_emplace(std::move(key), std::move(mine)).second;
    if (is_new) inserts_.add();
    return is_new;
  }
  // The key's value; when it has none, what make() returns, which others then find. make is called
  // at most once, by one thread at a time, with the dictionary locked.
  template <class Make>
  V get_or_insert(const K& key, Make make) {
    {
      refuse_recursion();
      const read_guard locked(lock_);
      if (const auto at = entries_.find(key); at != entries_.end()) {
        looked_up(true);
        return at->second.get();
      }
    }
    const write_guard locked(lock_);
    if (const auto at = entries_.find(key); at != entries_.end()) {
      looked_up(true);
      return at->second.get();
    }
    looked_up(false);
    const auto at = entries_.try_emplace(key, held(called(make))).first;
    inserts_.add();
    try {
      return at->second.get();
    } catch (...) {
      entries_.erase(at);
      erases_.add();
      throw;
    }
  }

  // True when the key was there.
  bool erase(const K& key) {
    typename map::node_type gone;
    refuse_recursion();
    const write_guard locked(lock_);
    gone = entries_.extract(key);
    if (gone.empty()) return false;
    erases_.add();
    return true;
  }
  void clear() {
    map gone(0, hash_of_entries(), equal_of_entries());
    refuse_recursion();
    const write_guard locked(lock_);
    erases_.add(entries_.size());
    entries_.swap(gone);
  }

  // Changes the key's value by f(V&), which works on a copy; false when the key is not there.
  template <class F>
  bool update(const K& key, F f) {
    std::optional<held> mine;
    refuse_recursion();
    const write_guard locked(lock_);
    const auto at = entries_.find(key);
    looked_up(at != entries_.end());
    if (at == entries_.end()) return false;
    mine.emplace(at->second.get());
    called([&] { f(mine->get()); });
    at->second.swap(*mine);
    updates_.add();
    return true;
  }

  // All of the changes, or none when it throws.
  void apply(batch changes) {
    std::vector<typename map::node_type> gone;
    refuse_recursion();
    const write_guard locked(lock_);
    commit(changes, gone);
  }
  // f(editor&) reads and changes; nobody sees its changes before it returns, and nobody ever does
  // if it throws. Returns what f returns.
  template <class F>
  auto edit(F f) {
    std::vector<typename map::node_type> gone;
    std::optional<editor> e;
    refuse_recursion();
    const write_guard locked(lock_);
    e.emplace(editor(entries_));
    if constexpr (std::is_void_v<std::invoke_result_t<F&, editor&>>) {
      called([&] { f(*e); });
      commit(e->changes_, gone);
    } else {
      auto result = called([&] { return f(*e); });
      commit(e->changes_, gone);
      return result;
    }
  }

  // All keys and values at one moment, in no particular order.
  std::vector<std::pair<K, V>> snapshot() const {
    std::vector<std::pair<K, V>> all;
    refuse_recursion();
    const read_guard locked(lock_);
    all.reserve(entries_.size());
    for (const auto& [key, value] : entries_) all.emplace_back(key, value.get());
    return all;
  }
  // f(const K&, const V&) for each key, while nobody writes.
  template <class F>
  void for_each(F f) const {
    refuse_recursion();
    const read_guard locked(lock_);
    const detail::dictionary_call inside(this);
    for (const auto& [key, value] : entries_) f(key, value.get());
  }

  // Counts of calls that are under way may be in it or not.
  dictionary_statistics statistics() const {
    dictionary_statistics s;
    s.hits = unowned_.hits.read();
    s.misses = unowned_.misses.read();
    lookups_.for_each([&](const counts& c) {
      s.hits += c.hits.read();
      s.misses += c.misses.read();
    });
    s.inserts = inserts_.read();
    s.updates = updates_.read();
    s.erases = erases_.read();
    s.lock = lock_.statistics();
    return s;
  }
  // Records acquisitions and waits of its lock. Throws std::bad_alloc.
  void record(lock_recording what) { lock_.record(what); }
  // Null when it has none.
  const char* name() const noexcept { return lock_.name(); }

 private:
  struct counts {
    owned_counter hits;
    owned_counter misses;
  };
  struct shared_counts {
    shared_counter hits;
    shared_counter misses;
  };

  void refuse_recursion() const { detail::dictionary_call::refuse_inside(this); }
  template <class F>
  decltype(auto) called(F&& f) const {
    const detail::dictionary_call inside(this);
    return std::forward<F>(f)();
  }

  // By each thread in its own place; where there is no memory for one, in a common one.
  void looked_up(bool found) const noexcept {
    try {
      counts& mine = lookups_.local();
      (found ? mine.hits : mine.misses).add();
    } catch (const std::bad_alloc&) {
      (found ? unowned_.hits : unowned_.misses).add();
    } catch (const std::system_error&) {
      (found ? unowned_.hits : unowned_.misses).add();
    }
  }

  // First everything that may throw, and can be taken back; then exchanges that cannot. What is no
  // longer wanted ends up in `gone` and in the changes.
  void commit(batch& changes, std::vector<typename map::node_type>& gone) HEDDLE_REQUIRES(lock_) {
    struct exchange {
      typename map::iterator there;
      typename map::node_type mine;
    };
    std::vector<exchange> exchanges;
    std::vector<typename map::iterator> added;
    std::vector<typename map::const_iterator> removed;
    exchanges.reserve(changes.sets_.size());
    added.reserve(changes.sets_.size());
    removed.reserve(changes.erases_.size());
    gone.reserve(changes.size());
    make_room(changes.sets_.size());
    try {
      for (const K& key : changes.erases_) {
        if (const auto at = entries_.find(key); at != entries_.end()) removed.push_back(at);
      }
      while (!changes.sets_.empty()) {
        auto result = entries_.insert(changes.sets_.extract(changes.sets_.begin()));
        if (result.inserted) {
          added.push_back(result.position);
        } else {
          exchanges.push_back({result.position, std::move(result.node)});
        }
      }
    } catch (...) {
      for (const auto& at : added) entries_.erase(at);
      throw;
    }
    for (exchange& e : exchanges) {
      e.there->second.swap(e.mine.mapped());
      gone.push_back(std::move(e.mine));
    }
    for (const auto& at : removed) gone.push_back(entries_.extract(at));
    inserts_.add(added.size());
    updates_.add(exchanges.size());
    erases_.add(removed.size());
  }

  // For so many more keys without a rehash, which would make iterators invalid.
  void make_room(std::size_t more) HEDDLE_REQUIRES(lock_) {
    const std::size_t wanted = entries_.size() + more;
    const double room = static_cast<double>(entries_.bucket_count()) *
                        static_cast<double>(entries_.max_load_factor());
    if (static_cast<double>(wanted) < room) return;
    entries_.reserve(std::max(wanted + 1, 2 * entries_.size()));
  }

  // They do not change after the construction.
  Hash hash_of_entries() const HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return entries_.hash_function(); }
  Equal equal_of_entries() const HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return entries_.key_eq(); }

  mutable rw_lock lock_;
  map entries_ HEDDLE_GUARDED_BY(lock_);
  owned_counter inserts_;  // changed by whoever writes, read by anybody
  owned_counter updates_;
  owned_counter erases_;
  mutable per_thread<counts> lookups_;
  mutable shared_counts unowned_;
};

}  // namespace heddle::inline HEDDLE_ABI
