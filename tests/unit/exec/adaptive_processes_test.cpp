// Adaptive pools in processes of their own: forked off in the middle, or without /proc and /sys.
#include <heddle/exec/thread_pool.hpp>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/config.hpp>

#include "support/pools.hpp"
#include "support/scripted_sizing.hpp"

namespace {

using heddle::thread_pool;
using heddle_test::eventually;
using heddle_test::load;
using heddle_test::pool_watchdog;
using heddle_test::restless;

namespace sizing = heddle::sizing;

using namespace std::chrono_literals;

// Ends the child with 0 when `works` says so, 77 when it says nothing.
int in_a_child(const std::function<std::optional<bool>()>& works) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(100);
    std::optional<bool> good = false;
    try {
      good = works();
    } catch (...) {
    }
    ::_exit(good ? (*good ? 0 : 1) : 77);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST(adaptive_processes, a_child_forked_off_in_the_middle_has_a_pool_that_adapts) {
#if HEDDLE_TSAN
  GTEST_SKIP() << "ThreadSanitizer lets no thread start in a child of a process with threads";
#endif
  thread_pool pool(restless(1, 16));
  const pool_watchdog dog(pool);
  load l(pool, 40);
  EXPECT_TRUE(eventually([&] { return pool.statistics().size_changes > 0; }));
  for (int round = 0; round < 12; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(137 * round));
    EXPECT_EQ(in_a_child([&]() -> std::optional<bool> {
                bool good = pool.sizing_is_on() && pool.sizing_log().empty();
                good = good && pool.submit([] { return 3; }).get() == 3;
                {
                  load mine(pool, 20);
                  good = good && eventually([&] { return pool.statistics().size_changes > 2; });
                }
                good = good && pool.statistics().sizing_windows > 2;
                return good && pool.shutdown().completed;
              }),
              0);
  }
}

TEST(adaptive_processes, works_where_nothing_can_be_read) {
#if HEDDLE_TSAN || HEDDLE_ASAN
  GTEST_SKIP() << "sanitizers cannot do without /proc";
#endif
  std::string empty = testing::TempDir() + "adaptive_XXXXXX";
  ASSERT_NE(::mkdtemp(empty.data()), nullptr);
  const int status = in_a_child([&]() -> std::optional<bool> {
    if (::chroot(empty.c_str()) != 0 &&
        (::unshare(CLONE_NEWUSER) != 0 || ::chroot(empty.c_str()) != 0)) {
      return std::nullopt;
    }
    thread_pool pool(sizing::adaptive{.min = 1, .max = 16});
    bool good = true;
    {
      std::atomic<bool> over{false};
      std::function<void()> task = [&] {
        std::this_thread::sleep_for(3ms);
        if (!over) pool.post(task);
      };
      for (int i = 0; i < 100; ++i) pool.post(task);
      good = eventually([&] { return pool.statistics().size_changes > 0; });
      over = true;
      pool.wait_idle();
    }
    const auto log = pool.sizing_log();
    good = good && log.size() > 1 && !log.back().signals.knows_runnable;
    good = good && !log.back().signals.knows_foreign;
    return good && pool.shutdown().completed;
  });
  ::rmdir(empty.c_str());
  if (status == 77) GTEST_SKIP() << "the root directory cannot be changed here";
  EXPECT_EQ(status, 0);
}

}  // namespace
