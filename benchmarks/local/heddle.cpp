// Heddle, all of it as it is when only what must be told is told.
#include <heddle/data/cache.hpp>
#include <heddle/data/context.hpp>
#include <heddle/data/object_pool.hpp>
#include <heddle/data/snapshot.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/lockfree/counter.hpp>
#include <heddle/probe/per_thread.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "caches.hpp"
#include "counters.hpp"
#include "pools.hpp"
#include "snapshots.hpp"

namespace {

class counter {
 public:
  void add() { ++count_; }
  std::uint64_t total() const { return count_.total(); }

 private:
  heddle::counter count_;
};

// A thread's own number, without the care for who reads it meanwhile.
class per_thread {
 public:
  void add() { ++counts_.local(); }
  std::uint64_t total() const {
    return counts_.combine(std::uint64_t{0},
                           [](std::uint64_t a, std::uint64_t b) { return a + b; });
  }

 private:
  heddle::per_thread<std::uint64_t> counts_;
};

template <class T>
class pool {
 public:
  auto lease() { return objects_.acquire(); }

 private:
  heddle::object_pool<T> objects_;
};

class cache {
 public:
  explicit cache(std::size_t capacity) : values_(capacity) {}
  bool find(std::uint64_t key, std::uint64_t& value) {
    const std::optional<std::uint64_t> found = values_.get(key);
    if (!found) return false;
    value = *found;
    return true;
  }
  void put(std::uint64_t key, std::uint64_t value) { values_.put(key, value); }

 protected:
  heddle::cache<std::uint64_t, std::uint64_t> values_;
};

// As a program would write it.
class computing_cache : public cache {
 public:
  using cache::cache;
  std::uint64_t through(std::uint64_t key) {
    return values_.get_or_compute(key, [key] { return bench::load(key); });
  }
};

using bench::settings;

class snapshot {
 public:
  explicit snapshot(const settings& first) : current_(first) {}
  template <class F>
  auto read(F f) const {
    return current_.read(f);
  }
  void update(const settings& next) { current_.store(next); }

 private:
  heddle::snapshot<settings> current_;
};

const heddle::context_key<std::uint64_t> request("request");

// ns to post a task and to run it, on one thread, with or without a context in place. The task
// looks its context's value up. arguments: 1 with, 0 without
double post(const bench::arguments& words) {
  const std::uint64_t id = words.number(0);
  const bench::cost of_one = bench::median_of(1, [&](std::uint64_t each) {
    heddle::manual_executor tasks;
    return bench::together(1, [&](unsigned, auto timed) {
      std::optional<heddle::scoped_context> inside;
      if (id != 0) inside.emplace(request, id);
      std::uint64_t sum = 0;
      timed([&] {
        for (std::uint64_t i = 0; i < each; ++i) {
          tasks.post([&sum] { sum += request.get(); });
          tasks.run_one();
        }
      });
      if (sum != id * each) bench::fail("a task has seen another context");
    });
  });
  return of_one.wall;
}

// The same on a pool with one worker: all are posted, then waited for.
double pool_post(const bench::arguments& words) {
  const std::uint64_t id = words.number(0);
  heddle::thread_pool pool(1);
  const bench::cost of_one = bench::median_of(1, [&](std::uint64_t each) {
    return bench::together(1, [&](unsigned, auto timed) {
      std::optional<heddle::scoped_context> inside;
      if (id != 0) inside.emplace(request, id);
      std::uint64_t sum = 0;
      timed([&] {
        for (std::uint64_t i = 0; i < each; ++i) pool.post([&sum] { sum += request.get(); });
        pool.wait_idle();
      });
      if (sum != id * each) bench::fail("a task has seen another context");
    });
  });
  return of_one.wall;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"heddle increment", bench::increment<counter>},
                     {"heddle total", bench::total<counter>},
                     {"per_thread increment", bench::increment<per_thread>},
                     {"heddle lease", bench::lease<pool>},
                     {"heddle hand_over", bench::hand_over<pool>},
                     {"heddle map", bench::map<cache>},
                     {"heddle cache", bench::cache<cache>},
                     {"heddle hits", bench::hits<cache>},
                     {"heddle compute", bench::cache<computing_cache>},
                     {"heddle read", bench::read<snapshot>},
                     {"heddle post", post},
                     {"heddle pool_post", pool_post}});
}
