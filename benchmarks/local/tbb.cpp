// oneTBB (Debian: libtbb-dev).
#define TBB_PREVIEW_CONCURRENT_LRU_CACHE 1
#include <oneapi/tbb/combinable.h>
#include <oneapi/tbb/concurrent_hash_map.h>
#include <oneapi/tbb/concurrent_lru_cache.h>
#include <oneapi/tbb/enumerable_thread_specific.h>
#include <oneapi/tbb/scalable_allocator.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>

#include "caches.hpp"
#include "counters.hpp"
#include "pools.hpp"

namespace {

template <class ThreadLocal>
class counter {
 public:
  void add() { ++counts_.local(); }
  std::uint64_t total() { return counts_.combine(std::plus<>()); }

 private:
  ThreadLocal counts_{std::uint64_t{0}};
};
using with_key = counter<tbb::enumerable_thread_specific<
    std::uint64_t, tbb::cache_aligned_allocator<std::uint64_t>, tbb::ets_key_per_instance>>;

struct zero {
  std::uint64_t operator()() const { return 0; }
};
class combinable {
 public:
  void add() { ++counts_.local(); }
  std::uint64_t total() { return counts_.combine(std::plus<>()); }

 private:
  tbb::combinable<std::uint64_t> counts_{zero{}};
};

// tbbmalloc.
template <class T>
struct scalable {
  struct give_back {
    void operator()(T* object) const {
      object->~T();
      scalable_free(object);
    }
  };
  std::unique_ptr<T, give_back> lease() {
    void* const memory = scalable_malloc(sizeof(T));
    if (!memory) throw std::bad_alloc();
    return std::unique_ptr<T, give_back>(new (memory) T);
  }
};

class hash_map {
 public:
  explicit hash_map(std::size_t capacity) : map_(capacity) {}
  bool find(std::uint64_t key, std::uint64_t& value) {
    table::const_accessor found;
    if (!map_.find(found, key)) return false;
    value = found->second;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) {
    table::accessor place;
    map_.insert(place, key);
    place->second = value;
  }

 private:
  using table = tbb::concurrent_hash_map<std::uint64_t, std::uint64_t>;
  table map_;
};

class lru {
 public:
  explicit lru(std::size_t capacity) : cache_(bench::load, capacity) {}
  std::uint64_t through(std::uint64_t key) { return cache_[key].value(); }

 private:
  tbb::concurrent_lru_cache<std::uint64_t, std::uint64_t> cache_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"ets increment", bench::increment<with_key>},
                     {"ets total", bench::total<with_key>},
                     {"combinable increment", bench::increment<combinable>},
                     {"combinable total", bench::total<combinable>},
                     {"tbb lease", bench::lease<scalable>},
                     {"tbb hand_over", bench::hand_over<scalable>},
                     {"tbb map", bench::map<hash_map>},
                     {"tbb cache", bench::cache<lru>},
                     {"tbb hits", bench::hits<lru>}});
}
