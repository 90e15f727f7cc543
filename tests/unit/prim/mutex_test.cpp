#include <heddle/prim/mutex.hpp>

#include <thread>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;

struct guarded {
  prim::mutex mutex;
  int count HEDDLE_GUARDED_BY(mutex) = 0;
};

TEST(prim_mutex, lets_one_thread_in) {
  guarded g;
  heddle_test::run_together(4, [&g](unsigned) {
    for (int i = 0; i < 2000; ++i) {
      const prim::scoped_lock lock(g.mutex);
      ++g.count;
    }
  });
  const prim::scoped_lock lock(g.mutex);
  EXPECT_EQ(g.count, 8000);
}

bool try_once(prim::mutex& m) {
  if (!m.try_lock()) return false;
  m.unlock();
  return true;
}

TEST(prim_mutex, try_lock_fails_while_another_thread_holds_it) {
  prim::mutex m;
  bool got = true;
  {
    const prim::scoped_lock lock(m);
    std::thread([&] { got = try_once(m); }).join();
  }
  EXPECT_FALSE(got);
  std::thread([&] { got = try_once(m); }).join();
  EXPECT_TRUE(got);
}

}  // namespace
