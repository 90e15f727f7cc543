// Divide and conquer: parallel_invoke for functions that may run at the same time, task_group for
// any number of tasks that belong together.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <numeric>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/exec/task_group.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

// [invoke]
// Quicksort, both sides at the same time.
void sort(std::span<int> values) {
  if (values.size() < 2'000) {
    std::ranges::sort(values);
    return;
  }
  const int pivot = values[values.size() / 2];
  const auto low = std::partition(values.begin(), values.end(), [=](int v) { return v < pivot; });
  const auto high = std::partition(low, values.end(), [=](int v) { return v == pivot; });
  heddle::parallel_invoke([&] { sort({values.begin(), low}); },
                          [&] { sort({high, values.end()}); });
}
// [invoke end]

// [group]
struct folder {
  std::string name;
  int bytes;
  std::vector<folder> below;
};

// A task for each folder, whatever their number.
int total(const folder& root) {
  std::atomic<int> sum = 0;
  heddle::task_group group;
  std::function<void(const folder&)> visit = [&](const folder& f) {
    sum += f.bytes;
    for (const folder& each : f.below) group.run([&] { visit(each); });
  };
  visit(root);
  group.wait();
  return sum;
}
// [group end]

bool sorts() {
  std::vector<int> values(100'000);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int>(i * 7'919 % values.size());
  }
  // [pool]
  heddle::thread_pool pool(2);
  heddle::parallel_invoke(pool, [&] { sort(values); });  // all of it on this pool
  // [pool end]
  return std::ranges::is_sorted(values);
}

bool adds_up() {
  const folder root{"/", 1, {{"etc", 2, {}}, {"usr", 4, {{"bin", 8, {}}, {"lib", 16, {}}}}}};
  const int bytes = total(root);
  std::printf("%d bytes\n", bytes);
  return bytes == 31;
}

bool fails_as_one() {
  // [failure]
  heddle::task_group group;
  group.run([] { throw std::runtime_error("no such shelf"); });
  for (int i = 0; i < 100; ++i) {
    group.run([](std::stop_token stop) {
      for (int step = 0; step < 1'000 && !stop.stop_requested(); ++step) {
        // ... a step of the work ...
      }
    });
  }
  try {
    group.wait();  // throws what the first to fail threw; what had not begun was dropped
  } catch (const std::runtime_error& e) {
    std::printf("the search failed: %s\n", e.what());
    return true;
  }
  // [failure end]
  return false;
}

bool finds_one() {
  const std::vector<std::string> shelves{"maps", "letters", "diaries", "photographs"};
  // [cancel]
  std::atomic<const std::string*> found = nullptr;
  heddle::task_group group;
  for (const std::string& shelf : shelves) {
    group.run(heddle::named("search a shelf", [&] {
      if (!shelf.starts_with("d")) return;
      found = &shelf;
      group.cancel();  // the others need not begin
    }));
  }
  const bool all_were_searched = group.wait();
  // [cancel end]
  std::printf("found %s, %s\n", found.load()->c_str(),
              all_were_searched ? "and looked everywhere" : "and left the rest");
  return *found == "diaries";
}

}  // namespace

int main() { return sorts() && adds_up() && fails_as_one() && finds_one() ? 0 : 1; }
