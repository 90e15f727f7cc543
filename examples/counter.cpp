// Counting on many threads at once, and a value for each thread of your own.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/lockfree/counter.hpp>
#include <heddle/probe/per_thread.hpp>

namespace {

bool count_requests() {
  // [counter]
  heddle::counter requests;

  const auto serve = [&requests] {
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t mine = ++requests;  // what this thread has counted
      if (mine % 500 == 0) std::printf("a thread has served %d\n", static_cast<int>(mine));
    }
  };
  std::jthread one(serve);
  std::jthread other(serve);
  one.join();
  other.join();
  std::printf("%d in all\n", static_cast<int>(requests.total()));  // 2000 in all
  // [counter end]
  return requests.total() == 2000;
}

bool count_what_is_open() {
  // [gauge]
  heddle::gauge open;
  ++open;
  ++open;
  std::jthread([&open] { --open; }).join();  // closed by another thread
  std::printf("%d are open\n", static_cast<int>(open.total()));
  // [gauge end]
  return open.total() == 1;
}

bool count_words(const std::vector<std::string>& words) {
  heddle::thread_pool pool(2);
  // [per_thread]
  using counts = std::unordered_map<std::string_view, int>;
  heddle::per_thread<counts> by_thread;

  heddle::parallel_for(pool, std::size_t{0}, words.size(),
                       [&](std::size_t i) { ++by_thread.local()[words[i]]; });

  const counts all = by_thread.combine(counts(), [](counts sum, const counts& one) {
    for (const auto& [word, n] : one) sum[word] += n;
    return sum;
  });
  // [per_thread end]
  return all.at("warp") == 200 && all.at("weft") == 100;
}

bool find_the_shortest(const std::vector<std::string>& words) {
  heddle::thread_pool pool(2);
  // [first_value]
  heddle::per_thread<std::size_t> shortest([] { return SIZE_MAX; });  // begins so on each thread
  heddle::parallel_for(pool, std::size_t{0}, words.size(), [&](std::size_t i) {
    std::size_t& mine = shortest.local();
    mine = std::min(mine, words[i].size());
  });
  const std::size_t least =
      shortest.combine(SIZE_MAX, [](std::size_t a, std::size_t b) { return std::min(a, b); });
  // [first_value end]
  return least == 4;
}

}  // namespace

int main() {
  std::vector<std::string> words;
  for (int i = 0; i < 100; ++i) {
    words.insert(words.end(), {"warp", "weft", "warp", "shuttle"});
  }
  return count_requests() && count_what_is_open() && count_words(words) && find_the_shortest(words)
             ? 0
             : 1;
}
