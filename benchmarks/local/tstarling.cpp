// Tim Starling's thread-safe-lru, in 16 shards; it stands on oneTBB's concurrent_hash_map.
#include <thread-safe-lru/scalable-cache.h>

#include <cstddef>
#include <cstdint>

#include "caches.hpp"

namespace {

class lru {
 public:
  explicit lru(std::size_t capacity) : cache_(capacity, 16) {}
  bool find(std::uint64_t key, std::uint64_t& value) {
    cache::ConstAccessor found;
    if (!cache_.find(found, key)) return false;
    value = *found;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) { cache_.insert(key, value); }

 private:
  using cache = tstarling::ThreadSafeScalableCache<std::uint64_t, std::uint64_t>;
  cache cache_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"tstarling cache", bench::cache<lru>}, {"tstarling hits", bench::hits<lru>}});
}
