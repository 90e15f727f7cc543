// Loops, reductions, scans and sorting on several threads.

#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/algorithm/parallel_transform.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

bool loops() {
  // [loop]
  std::vector<double> roots(100'000);
  heddle::parallel_for(std::size_t{0}, roots.size(),
                       [&](std::size_t i) { roots[i] = std::sqrt(static_cast<double>(i)); });

  std::vector<std::string> threads{"warp", "weft", "heddle"};
  heddle::parallel_for_each(threads, [](std::string& t) { t += '.'; });
  // [loop end]

  // [blocks]
  std::vector<float> noise(100'000);
  heddle::parallel_for_blocks(
      std::size_t{0}, noise.size(), [&](std::size_t begin, std::size_t end) {
        std::uint32_t state = static_cast<std::uint32_t>(begin) + 1;  // a generator for each block
        for (std::size_t i = begin; i != end; ++i) {
          state = state * 1'664'525 + 1'013'904'223;
          noise[i] = static_cast<float>(state >> 8) / (1 << 24);
        }
      });
  // [blocks end]
  std::printf("%.0f %s %g\n", roots[90'000], threads[2].c_str(), static_cast<double>(noise[0]));
  return roots[90'000] == 300 && threads[2] == "heddle.";
}

// [where]
bool in_three_places(std::vector<int>& v) {
  const auto next = [](int& i) { ++i; };
  heddle::thread_pool pool(2);
  heddle::parallel_for_each(pool, v, next);  // on that pool

  heddle::strand quiet(pool);
  heddle::parallel_for_each(quiet, v, next);  // any executor: the caller takes part

  pool.submit([&] {
        heddle::parallel_for_each(v, next);  // inside of a task: on its pool
      })
      .get();
  return v.front() == 3;
}
// [where end]

// [grain]
void fetch_all(const std::vector<std::string>& pages,
               const std::function<void(std::string)>& fetch) {
  // Few and long ones: no first one has to show how long it takes.
  heddle::parallel_for_each(pages, fetch, {.grain = 1});
}
// [grain end]

bool sums() {
  std::vector<double> v(100'000);
  std::iota(v.begin(), v.end(), 1.0);
  // [reduce]
  const double sum = heddle::parallel_reduce(v, 0.0, std::plus<>{});
  const double norm = std::sqrt(
      heddle::parallel_transform_reduce(v, 0.0, std::plus<>{}, [](double x) { return x * x; }));
  const double same = heddle::parallel_reduce_deterministic(v, 0.0, std::plus<>{});
  // [reduce end]
  std::printf("%.0f %.3f %.0f\n", sum, norm, same);

  // [scan]
  const std::vector<int> lengths{3, 1, 4, 1, 5};
  std::vector<int> begins(lengths.size());
  heddle::parallel_exclusive_scan(lengths, begins.begin(), 0, std::plus<>{});  // 0 3 4 8 9

  std::vector<int> squares(lengths.size());
  heddle::parallel_transform(lengths, squares.begin(), [](int n) { return n * n; });
  // [scan end]
  return sum == 5'000'050'000.0 && same == sum && begins.back() == 9 && squares.back() == 25;
}

struct person {
  std::string name;
  int age;
};

bool sorting() {
  std::vector<int> numbers(100'000);
  for (std::size_t i = 0; i != numbers.size(); ++i) {
    numbers[i] = static_cast<int>(i * 7'919 % 100'003);
  }
  std::vector<person> people{{"Ada", 36}, {"Grace", 85}, {"Jack", 36}};
  // [sort]
  heddle::parallel_sort(numbers);
  heddle::parallel_sort(numbers, std::greater<>{});
  heddle::parallel_stable_sort(
      people, [](const person& a, const person& b) { return a.age < b.age; });  // Ada before Jack
  // [sort end]
  return std::is_sorted(numbers.rbegin(), numbers.rend()) && people[0].name == "Ada" &&
         people[1].name == "Jack";
}

}  // namespace

int main() {
  std::vector<int> v(1'000);
  bool good = loops() && in_three_places(v) && sums() && sorting();
  std::vector<std::string> fetched(1);
  fetch_all({"heddle.html"}, [&](const std::string& page) { fetched[0] = page; });
  good = good && fetched[0] == "heddle.html";
  return good ? 0 : 1;
}
