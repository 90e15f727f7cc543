// efficient/libcuckoo.
#include <libcuckoo/cuckoohash_map.hh>

#include <cstddef>
#include <cstdint>

#include "caches.hpp"

namespace {

class cuckoo_map {
 public:
  explicit cuckoo_map(std::size_t capacity) : map_(capacity) {}
  bool find(std::uint64_t key, std::uint64_t& value) { return map_.find(key, value); }
  void put(std::uint64_t key, std::uint64_t value) { map_.insert_or_assign(key, value); }

 private:
  libcuckoo::cuckoohash_map<std::uint64_t, std::uint64_t> map_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"libcuckoo map", bench::map<cuckoo_map>}});
}
