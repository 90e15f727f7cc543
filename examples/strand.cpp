// Data without a lock: only the jobs of one strand touch it.

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

// [counter]
class word_counter {
 public:
  explicit word_counter(heddle::thread_pool& pool) : turn_(pool) {}

  // From any thread; nobody waits.
  void count(std::string word) {
    turn_.post([this, w = std::move(word)] { ++seen_[w]; });
  }
  heddle::future<int> count_of(std::string word) {
    return turn_.submit([this, w = std::move(word)] { return seen_[w]; });
  }

 private:
  heddle::strand turn_;
  std::map<std::string, int> seen_;  // touched by turn_'s jobs alone
};
// [counter end]

int main() {
  heddle::thread_pool pool(4);
  word_counter words(pool);

  // [use]
  std::vector<heddle::future<void>> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(pool.submit([&words] {
      for (int n = 0; n < 1000; ++n) words.count("thread");
    }));
  }
  for (auto& r : readers) r.get();
  const int seen = words.count_of("thread").get();  // behind all that was posted before
  // [use end]
  std::printf("%d\n", seen);

  // [then]
  std::string log;  // guarded by the strand
  const heddle::strand one_at_a_time(pool);
  auto a = pool.submit([] { return 1; }).then(one_at_a_time.executor(), [&](int n) {
    log += std::to_string(n);
  });
  auto b = pool.submit([] { return 2; }).then(one_at_a_time.executor(), [&](int n) {
    log += std::to_string(n);
  });
  // [then end]
  a.get();
  b.get();
  return seen == 4000 && log.size() == 2 ? 0 : 1;
}
