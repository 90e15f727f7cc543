// A test of asynchronous code in which nothing happens between its lines.

#include <cstdio>
#include <cstdlib>
#include <string>

#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

// What is tested: it neither knows nor cares what runs its work.
// [tested]
class cache {
 public:
  explicit cache(heddle::executor_ref background) : background_(background) {}
  heddle::future<void> refresh() {
    return heddle::submit(background_, [this] { value_ = "fresh"; });
  }
  const std::string& value() const { return value_; }

 private:
  heddle::executor_ref background_;
  std::string value_ = "stale";
};
// [tested end]

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

int main() {
  // [test]
  heddle::manual_executor work;
  cache c(work.executor());
  auto refreshed = c.refresh();
  expect(c.value() == "stale" && work.pending() == 1);  // nothing has run
  work.run_one();
  expect(c.value() == "fresh" && refreshed.ready());
  // [test end]

  // [drive]
  heddle::thread_pool pool(1);
  auto answer = heddle::submit(pool, [] { return 6; }).then(work.executor(), [](int n) {
    return n * 7;
  });  // here, on this thread
  work.run_until_ready(answer);
  std::printf("%d\n", answer.get());
  // [drive end]

  // [inline]
  cache direct(heddle::inline_executor().executor());
  direct.refresh().get();  // has run before refresh() returned
  // [inline end]
  return direct.value() == "fresh" ? 0 : 1;
}
