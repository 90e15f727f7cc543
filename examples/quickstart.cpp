// Work goes in, futures come out; and what happens to exceptions.

#include <cstdio>
#include <stdexcept>
#include <string>

// [include]
#include <heddle/exec/thread_pool.hpp>
// [include end]

namespace {

std::size_t letters_in(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text) count += (c != ' ');
  return count;
}

}  // namespace

int main() {
  // [submit]
  heddle::thread_pool pool;  // as many workers as this process has cores

  heddle::future<std::size_t> count = pool.submit(letters_in, "work goes in, futures come out");
  std::printf("%zu letters\n", count.get());
  // [submit end]

  // [exception]
  auto failing = pool.submit([]() -> int { throw std::runtime_error("the disk is on fire"); });
  try {
    failing.get();
  } catch (const std::runtime_error& e) {
    std::printf("the task failed: %s\n", e.what());
  }
  // [exception end]

  // [then]
  auto doubled = pool.submit([] { return 21; }).then([](int n) { return 2 * n; });
  std::printf("%d\n", doubled.get());
  // [then end]
}
