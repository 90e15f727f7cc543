// What one writes with the standard library alone: what is bare of any safety, to see what there is
// to reach; and the naive forms.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "caches.hpp"
#include "counters.hpp"
#include "pools.hpp"
#include "snapshots.hpp"

namespace {

// Every thread has a variable of its own, and adds it up itself.
class bare_counter {
 public:
  void add() { ++mine; }
  void leave() { sum_ += std::exchange(mine, 0); }
  std::uint64_t total() const { return sum_; }

 private:
  static constinit inline thread_local std::uint64_t mine = 0;
  std::atomic<std::uint64_t> sum_{0};
};

class atomic_counter {
 public:
  void add() { count_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t total() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

class mutex_counter {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  std::uint64_t total() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t count_ = 0;
};

// The threads are given shards in turn.
class sharded_counter {
 public:
  void add() { shards_[own_shard()].count.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const shard& one : shards_) sum += one.count.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) shard {
    std::atomic<std::uint64_t> count{0};
  };
  static constexpr unsigned shard_count = 8;
  static unsigned own_shard() {
    static constinit std::atomic<unsigned> threads{0};
    static constinit thread_local unsigned own = shard_count;
    if (own == shard_count) own = threads.fetch_add(1) % shard_count;
    return own;
  }
  shard shards_[shard_count];
};

// glibc's allocator.
template <class T>
struct new_and_delete {
  std::unique_ptr<T> lease() { return std::unique_ptr<T>(new T); }
};

template <class T>
class mutex_pool {
 public:
  struct give_back {
    void operator()(T* object) const {
      const std::lock_guard lock(to->mutex_);
      to->free_.emplace_back(object);
    }
    mutex_pool* to;
  };
  std::unique_ptr<T, give_back> lease() {
    std::unique_ptr<T> object;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        object = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!object) object.reset(new T);
    return {object.release(), give_back{this}};
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

class mutex_map {
 public:
  explicit mutex_map(std::size_t capacity) { map_.reserve(capacity); }
  bool find(std::uint64_t key, std::uint64_t& value) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    value = found->second;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    map_.insert_or_assign(key, value);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::uint64_t> map_;
};

// Evicts the least recently used.
class mutex_lru {
 public:
  explicit mutex_lru(std::size_t capacity) : capacity_(capacity) { map_.reserve(capacity); }
  bool find(std::uint64_t key, std::uint64_t& value) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    used_.splice(used_.begin(), used_, found->second);
    value = found->second->second;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found != map_.end()) {
      found->second->second = value;
      used_.splice(used_.begin(), used_, found->second);
      return;
    }
    if (map_.size() == capacity_) {
      map_.erase(used_.back().first);
      used_.pop_back();
    }
    used_.emplace_front(key, value);
    map_.emplace(key, used_.begin());
  }

 private:
  using list = std::list<std::pair<std::uint64_t, std::uint64_t>>;  // the last used comes first
  std::mutex mutex_;
  std::size_t capacity_;
  list used_;
  std::unordered_map<std::uint64_t, list::iterator> map_;
};

template <class Map>
class in_16_shards {
 public:
  explicit in_16_shards(std::size_t capacity) {
    for (std::unique_ptr<shard>& one : shards_) one = std::make_unique<shard>(capacity / 16);
  }
  bool find(std::uint64_t key, std::uint64_t& value) { return shard_of(key).find(key, value); }
  void put(std::uint64_t key, std::uint64_t value) { shard_of(key).put(key, value); }

 private:
  struct alignas(64) shard : Map {
    using Map::Map;
  };
  shard& shard_of(std::uint64_t key) { return *shards_[(key >> 59) & 15]; }
  std::unique_ptr<shard> shards_[16];
};

using bench::settings;

// No settings ever die, so that no reader needs to be careful.
class bare_pointer {
 public:
  explicit bare_pointer(const settings& first) { update(first); }
  template <class F>
  auto read(F f) const {
    return f(*current_.load(std::memory_order_acquire));
  }
  void update(const settings& next) {
    all_.push_back(std::make_unique<settings>(next));
    current_.store(all_.back().get(), std::memory_order_release);
  }

 private:
  std::vector<std::unique_ptr<settings>> all_;
  std::atomic<const settings*> current_;
};

class atomic_shared_ptr {
 public:
  explicit atomic_shared_ptr(const settings& first)
      : current_(std::make_shared<const settings>(first)) {}
  template <class F>
  auto read(F f) const {
    const auto held = current_.load(std::memory_order_acquire);
    return f(*held);
  }
  void update(const settings& next) { current_.store(std::make_shared<const settings>(next)); }

 private:
  std::atomic<std::shared_ptr<const settings>> current_;
};

class mutex_shared_ptr {
 public:
  explicit mutex_shared_ptr(const settings& first)
      : current_(std::make_shared<const settings>(first)) {}
  template <class F>
  auto read(F f) {
    const auto held = get();
    return f(*held);
  }
  void update(const settings& next) {
    auto made = std::make_shared<const settings>(next);
    const std::lock_guard lock(mutex_);
    current_.swap(made);
  }

 private:
  std::shared_ptr<const settings> get() {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  std::mutex mutex_;
  std::shared_ptr<const settings> current_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"bare increment", bench::increment<bare_counter>},
                     {"atomic increment", bench::increment<atomic_counter>},
                     {"atomic total", bench::total<atomic_counter>},
                     {"mutex increment", bench::increment<mutex_counter>},
                     {"mutex total", bench::total<mutex_counter>},
                     {"shards increment", bench::increment<sharded_counter>},
                     {"shards total", bench::total<sharded_counter>},
                     {"new_delete lease", bench::lease<new_and_delete>},
                     {"new_delete hand_over", bench::hand_over<new_and_delete>},
                     {"mutex lease", bench::lease<mutex_pool>},
                     {"mutex hand_over", bench::hand_over<mutex_pool>},
                     {"shards map", bench::map<in_16_shards<mutex_map>>},
                     {"shards cache", bench::cache<in_16_shards<mutex_lru>>},
                     {"shards hits", bench::hits<in_16_shards<mutex_lru>>},
                     {"mutex cache", bench::cache<mutex_lru>},
                     {"mutex hits", bench::hits<mutex_lru>},
                     {"bare read", bench::read<bare_pointer>},
                     {"atomic read", bench::read<atomic_shared_ptr>},
                     {"mutex read", bench::read<mutex_shared_ptr>}});
}
