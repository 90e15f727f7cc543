// Values that are expensive to get, kept for those who ask again.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <heddle/data/cache.hpp>
#include <heddle/data/thread_cache.hpp>

// [own_bytes]
struct tile {
  int zoom = 0;
  int x = 0;
  int y = 0;
  bool operator==(const tile&) const = default;
};

template <>
inline constexpr bool heddle::compares_own_bytes<tile> = true;
// [own_bytes end]

namespace {

using namespace std::chrono_literals;

std::atomic<int> queries{0};

// Stands for a query that takes its time.
std::string read_profile(int user) {
  ++queries;
  std::this_thread::sleep_for(5ms);
  return "profile of user " + std::to_string(user);
}

bool one_computes() {
  // [get_or_compute]
  heddle::cache<int, std::string> profiles(10'000);  // at most so many

  const auto serve = [&profiles](int user) {
    return profiles.get_or_compute(user, [user] { return read_profile(user); });
  };
  {
    std::vector<std::jthread> requests;
    for (int i = 0; i < 8; ++i) requests.emplace_back([&] { serve(7); });
  }
  std::printf("8 requests, %d query\n", queries.load());  // 8 requests, 1 query

  profiles.erase(7);  // the profile was changed: the next request reads it anew
  // [get_or_compute end]
  serve(7);
  return queries == 2;
}

bool by_weight() {
  // [options]
  using image = std::shared_ptr<const std::string>;  // copies are cheap
  heddle::cache<std::string, image> images({
      .capacity = 64 << 20,  // bytes, because of the weigher
      .shards = 4,           // so an image may have 16 MiB
      .expire_after_write = 10min,
      .weigher = [](const std::string& name,
                    const image& i) { return static_cast<std::int64_t>(name.size() + i->size()); },
      .on_removal =
          [](const std::string& name, const image&, heddle::removal_cause cause) {
            std::printf("%s: %s\n", name.c_str(), describe(cause));  // cat.png: replaced
          },
  });
  images.put("cat.png", std::make_shared<std::string>(1000, 'c'));
  images.put("cat.png", std::make_shared<std::string>(2000, 'C'));

  const heddle::cache_statistics s = images.statistics();
  std::printf("%zu images, %zu bytes, %.0f%% of look-ups hit\n", s.entries,
              static_cast<std::size_t>(s.weight), 100 * s.hit_share());
  // [options end]
  return s.weight == 2007;
}

// [expiry]
std::chrono::steady_clock::time_point test_time{};  // of a test, which need not sleep

bool sessions_expire() {
  heddle::cache<int, std::string> sessions({
      .capacity = 10'000,
      .expire_after_access = 30min,
      .now = [] { return test_time; },
  });
  sessions.put(1, "ann");
  sessions.put(2, "bob");
  test_time += 20min;
  sessions.get(1);  // lives another half hour
  test_time += 20min;
  const std::size_t gone = sessions.remove_expired();  // from a timer, say, once a minute
  std::printf("%zu session has expired\n", gone);      // 1 session has expired
  return gone == 1 && sessions.get(1) == "ann" && !sessions.get(2);
}
// [expiry end]

bool a_thread_each() {
  // [thread_cache]
  heddle::thread_cache<std::string, std::size_t> lengths;  // 1,000 entries a thread

  const auto length_of = [&lengths](const std::string& word) {
    return lengths.get_or_compute(word, [&] { return word.size(); });
  };
  // [thread_cache end]
  return length_of("heddle") == 6 && length_of("heddle") == 6 && lengths.statistics().hits == 1;
}

struct tile_hash {
  std::size_t operator()(const tile& t) const {
    std::size_t hash = 0;
    for (const int part : {t.zoom, t.x, t.y}) {
      hash = hash * 1'000'003 + static_cast<std::size_t>(part);
    }
    return hash;
  }
};

bool by_tile() {
  heddle::cache<tile, double, tile_hash> heights(1000);
  heights.put({.zoom = 3, .x = 1, .y = 2}, 410.5);
  return heights.get({.zoom = 3, .x = 1, .y = 2}) == 410.5 && !heights.get({});
}

}  // namespace

int main() {
  return one_computes() && by_weight() && sessions_expire() && a_thread_each() && by_tile() ? 0 : 1;
}
