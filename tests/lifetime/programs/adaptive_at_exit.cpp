// Adaptive pools that are globals, change their size while static objects are destroyed, or are
// never destroyed at all. Ends with status 0 when all of it worked.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/thread_pool.hpp>

// The pool that is kept lets workers go whom nobody joins, which ThreadSanitizer takes for a leak.
extern "C" const char* __tsan_default_options() { return "report_thread_leaks=0"; }

namespace {

namespace sizing = heddle::sizing;

std::atomic<int> ran{0};  // trivially destructible: alive to the very end
std::atomic<int> expected{0};

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "adaptive at exit: %s\n", what);
  std::_Exit(1);
}

// To and fro, so that there is always a change under way.
class restless final : public sizing::law {
 public:
  sizing::choice first(double, int least, int) override {
    return {least, sizing::cause::start, "to", std::chrono::milliseconds(1)};
  }
  sizing::choice next(const sizing::window& now) override {
    return {now.size == now.least ? now.most : now.least, sizing::cause::trial, "fro",
            std::chrono::milliseconds(1)};
  }
};

sizing::adaptive wish() {
  return {.min = 1, .max = 6, .make_law = []() -> std::unique_ptr<sizing::law> {
            return std::make_unique<restless>();
          }};
}

void post_some(heddle::thread_pool& pool) {
  for (int i = 0; i < 40; ++i) {
    ++expected;
    pool.post([] {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      ++ran;
    });
  }
}

struct checks_when_destroyed {
  ~checks_when_destroyed() { check(ran == expected, "work was lost"); }
} checks;  // outlives the pool

heddle::thread_pool global(wish());

struct uses_when_destroyed {
  ~uses_when_destroyed() {
    post_some(global);
    heddle::thread_pool own(wish());
    post_some(own);
    check(own.submit([] { return 4; }).get() == 4, "a pool made during static destruction");
  }
} user;  // dies before the pool

}  // namespace

int main() {
  heddle::thread_pool_options options;
  options.sizing = wish();
  heddle::set_default_pool_options(std::move(options));
  post_some(heddle::default_pool());
  post_some(global);
  auto* const kept = new heddle::thread_pool(wish());  // its threads end with the process
  check(kept->submit([] { return 2; }).get() == 2, "main");
  check(!kept->report().to_text().empty(), "a report");
  static heddle::thread_pool* volatile reachable = nullptr;  // written, or it is a leak
  reachable = kept;
  check(reachable->size() >= 1, "the size");
}
