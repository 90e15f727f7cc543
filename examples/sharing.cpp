// One result for many readers, callbacks, and results of different kinds together.

#include <cstdio>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/when.hpp>

int main() {
  heddle::thread_pool pool;

  // [shared]
  const heddle::shared_future<std::string> text =
      pool.submit([] { return std::string("read once, used by many"); }).share();

  std::vector<heddle::future<std::size_t>> counts;
  for (const char letter : {'a', 'e', 'o'}) {
    counts.push_back(pool.submit([text, letter] {
      std::size_t n = 0;
      for (const char c : text.get()) n += c == letter ? 1 : 0;  // a const reference, no copy
      return n;
    }));
  }
  // [shared end]
  std::size_t total = 0;
  for (auto& count : counts) total += count.get();
  std::printf("%zu of these letters\n", total);

  // [on_ready]
  auto answer = pool.submit([] { return 6 * 7; });
  answer.on_ready([] { std::puts("the answer is there"); });  // on the worker that found it
  std::printf("it is %d\n", answer.get());
  // [on_ready end]

  // [when_all]
  auto name = pool.submit([] { return std::string("heddle"); });
  auto size = pool.submit([] { return 6; });
  auto both = heddle::when_all(std::move(name), std::move(size)).get();
  std::printf("%s has %d letters\n", std::get<0>(both).get().c_str(), std::get<1>(both).get());
  // [when_all end]
  return total == 6 ? 0 : 1;
}
