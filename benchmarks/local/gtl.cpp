// greg7mdp's gtl: its map of 16 tables, and its LRU cache of as many.
#include <gtl/lru_cache.hpp>
#include <gtl/phmap.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "caches.hpp"

namespace {

using key_hash = gtl::Hash<std::uint64_t>;
using equal = std::equal_to<std::uint64_t>;

class parallel_map {
 public:
  explicit parallel_map(std::size_t capacity) { map_.reserve(capacity); }
  bool find(std::uint64_t key, std::uint64_t& value) {
    return map_.if_contains(key, [&](const auto& found) { value = found.second; });
  }
  void put(std::uint64_t key, std::uint64_t value) {
    map_.try_emplace_l(key, [&](auto& found) { found.second = value; }, value);
  }

 private:
  using allocator = std::allocator<std::pair<const std::uint64_t, std::uint64_t>>;
  gtl::parallel_flat_hash_map<std::uint64_t, std::uint64_t, key_hash, equal, allocator, 4,
                              std::mutex>
      map_;
};

class lru {
 public:
  explicit lru(std::size_t capacity) : cache_(capacity) {}
  bool find(std::uint64_t key, std::uint64_t& value) {
    const std::optional<std::uint64_t> found = cache_.get(key);
    if (!found) return false;
    value = *found;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) { cache_.insert(key, value); }

 private:
  gtl::lru_cache_impl<std::uint64_t, std::uint64_t, 4, key_hash, equal, std::mutex> cache_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"gtl map", bench::map<parallel_map>},
                     {"gtl cache", bench::cache<lru>},
                     {"gtl hits", bench::hits<lru>}});
}
