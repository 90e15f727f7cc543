// boost::concurrent_flat_map (Boost 1.83 and newer).
#include <boost/unordered/concurrent_flat_map.hpp>

#include <cstddef>
#include <cstdint>

#include "caches.hpp"

namespace {

class flat_map {
 public:
  explicit flat_map(std::size_t capacity) : map_(capacity) {}
  bool find(std::uint64_t key, std::uint64_t& value) {
    return map_.cvisit(key, [&](const auto& found) { value = found.second; }) != 0;
  }
  void put(std::uint64_t key, std::uint64_t value) { map_.insert_or_assign(key, value); }

 private:
  boost::concurrent_flat_map<std::uint64_t, std::uint64_t> map_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"boost map", bench::map<flat_map>}});
}
