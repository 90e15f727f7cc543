// Pools in a process that was forked off while they worked.
#include <heddle/exec/thread_pool.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/prim/scheduling.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::occupied_pool;
using heddle_test::pool_shape;
using heddle_test::pool_test;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

// What a child finds wrong. It must not use GoogleTest, whose state is the parent's.
class findings {
 public:
  void check(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "child %d: not so: %s\n", static_cast<int>(::getpid()), what);
    ++count_;
  }
  template <class F>
  void throws_forked(const char* what, F f) {
    try {
      f();
      check(false, what);
    } catch (const heddle::forked&) {
    }
  }
  int count() const { return count_; }

 private:
  int count_ = 0;
};

// Runs f(findings&) in a child and waits for its end. A child that hangs is ended by its alarm.
template <class F>
testing::AssertionResult in_child(F f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(100);
    findings found;
    try {
      f(found);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child %d threw %s\n", static_cast<int>(::getpid()), e.what());
      found.check(false, "no exception");
    }
    std::fflush(stderr);
    ::_exit(found.count() == 0 ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child)
    return testing::AssertionFailure() << "no child";
  if (WIFSIGNALED(status))
    return testing::AssertionFailure() << "the child ended by signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) != 0)
    return testing::AssertionFailure() << "the child ended with " << WEXITSTATUS(status);
  return testing::AssertionSuccess();
}

std::ptrdiff_t threads_in_the_process() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return std::distance(begin(all), end(all));
}

// Many tasks, some of which submit and wait for others.
long busy_sum(thread_pool& pool, int n) {
  std::vector<future<int>> results;
  for (int i = 0; i < n; ++i)
    results.push_back(pool.submit([&pool, i] { return pool.submit([i] { return i; }).get(); }));
  long sum = 0;
  for (future<int>& r : results) sum += r.get();
  return sum;
}

constexpr long sum_below(long n) { return n * (n - 1) / 2; }

class pool_fork : public pool_test {
 protected:
  void SetUp() override {
#if HEDDLE_TSAN
    GTEST_SKIP() << "ThreadSanitizer lets no child of a threaded process start threads";
#endif
  }
};

TEST_P(pool_fork, child_has_workers_of_its_own) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  EXPECT_EQ(busy_sum(pool, 50), sum_below(50));
  EXPECT_TRUE(in_child([&](findings& found) {
    found.check(threads_in_the_process() == 1, "no thread before the first use");
    found.check(pool.submit([] { return ::getpid(); }).get() == ::getpid(), "a task runs here");
    found.check(pool.size() == workers(), "as many workers");
    found.check(pool.worker_index() == std::nullopt, "the child's thread is no worker");
    found.check(busy_sum(pool, 200) == sum_below(200), "nested tasks");
    const heddle::pool_statistics s = pool.statistics();
    found.check(s.submitted == 401, "statistics begin with the child");
    found.check(s.workers == workers(), "workers in the statistics");
  }));
  EXPECT_EQ(busy_sum(pool, 50), sum_below(50)) << "the parent goes on";
}

TEST_P(pool_fork, from_a_worker) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  const auto forking = [&] {
    return in_child([&](findings& found) {
      found.check(pool.worker_index() == std::nullopt, "not a worker any more");
      found.check(pool.submit([] { return ::getpid(); }).get() == ::getpid(), "a task runs here");
      found.check(busy_sum(pool, 100) == sum_below(100), "nested tasks");
    });
  };
  EXPECT_TRUE(pool.submit(forking).get());
  EXPECT_EQ(busy_sum(pool, 50), sum_below(50));
}

TEST_P(pool_fork, while_everybody_is_busy) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i) {
    others.emplace_back([&] {
      while (!over) busy_sum(pool, 20);
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(in_child([&](findings& found) {
      found.check(busy_sum(pool, 50) == sum_below(50), "nested tasks");
    }));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(pool.submit([&] {
                      return in_child([&](findings& found) {
                        found.check(busy_sum(pool, 50) == sum_below(50), "nested tasks");
                      });
                    })
                    .get());
  }
  over = true;
  for (std::thread& t : others) t.join();
}

TEST_P(pool_fork, what_the_parent_queued_stays_with_the_parent) {
  std::atomic<int> ran{0};  // each process has its own
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  std::vector<future<void>> queued;
  auto ready = pool.submit([] { return 7; });
  ready.wait();
  {
    const occupied_pool occupied(pool);
    for (int i = 0; i < 10; ++i) queued.push_back(pool.submit([&ran] { ++ran; }));
    EXPECT_TRUE(in_child([&](findings& found) {
      found.check(pool.submit([] { return 3; }).get() == 3, "the child's task runs");
      pool.wait_idle();
      found.check(ran == 0, "the parent's tasks do not run");
      found.throws_forked("get", [&] { queued[0].get(); });
      found.throws_forked("wait", [&] { queued[1].wait(); });
      found.throws_forked("wait_for", [&] { queued[2].wait_for(1ms); });
      found.throws_forked("get in a task", [&] { pool.submit([&] { queued[3].get(); }).get(); });
      found.check(ready.get() == 7, "what was ready can be read");
    }));
  }
  for (future<void>& f : queued) f.get();
  EXPECT_EQ(ran, 10);
}

TEST_P(pool_fork, destroyed_in_the_child_unused) {
  auto pool = std::make_unique<thread_pool>(options());
  const occupied_pool occupied(*pool);
  EXPECT_TRUE(in_child([&](findings& found) {
    pool.reset();
    found.check(threads_in_the_process() == 1, "no thread was started for that");
  }));
}

TEST_P(pool_fork, destroyed_in_the_child_after_use) {
  std::atomic<int> ran{0};
  auto pool = std::make_unique<thread_pool>(options());
  const occupied_pool occupied(*pool);
  EXPECT_TRUE(in_child([&](findings& found) {
    for (int i = 0; i < 100; ++i) pool->post([&ran] { ++ran; });
    pool.reset();
    found.check(ran == 100, "it drained");
    found.check(threads_in_the_process() == 1, "its threads are gone");
  }));
}

TEST_P(pool_fork, shut_down_in_the_child) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  EXPECT_TRUE(in_child([&](findings& found) {
    auto before = pool.submit([] { return 1; });
    found.check(pool.shutdown().completed, "the shutdown completes");
    found.check(before.get() == 1, "what was accepted ran");
    try {
      static_cast<void>(pool.submit([] {}));
      found.check(false, "submitting throws rejected");
    } catch (const heddle::rejected&) {
    }
  }));
  EXPECT_EQ(pool.submit([] { return 2; }).get(), 2) << "the parent's is open";
}

TEST_P(pool_fork, of_a_fork) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  EXPECT_TRUE(in_child([&](findings& found) {
    // One generation that uses the pool before it forks, and one that does not.
    found.check(in_child([&](findings& below) {
                  below.check(busy_sum(pool, 20) == sum_below(20), "in the grandchild, first use");
                }),
                "an unused pool in a grandchild");
    found.check(busy_sum(pool, 20) == sum_below(20), "in the child");
    auto pending = promise<int>();
    auto of_child = pending.get_future();
    found.check(in_child([&](findings& below) {
                  below.check(pool.submit([] { return ::getpid(); }).get() == ::getpid(),
                              "a task runs in the grandchild");
                  below.throws_forked("the child's future", [&] { of_child.get(); });
                  below.check(busy_sum(pool, 20) == sum_below(20), "in the grandchild");
                }),
                "a used pool in a grandchild");
    found.check(busy_sum(pool, 20) == sum_below(20), "in the child again");
  }));
}

TEST_P(pool_fork, continuations_run_in_the_child) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  auto ready = pool.submit([] { return 7; });
  ready.wait();
  EXPECT_TRUE(in_child([&](findings& found) {
    auto next = std::move(ready).then([](int n) { return std::pair(n, ::getpid()); });
    found.check(next.get() == std::pair(7, ::getpid()), "on the child's workers");
  }));
}

TEST_P(pool_fork, a_pool_of_the_childs_own) {
  thread_pool pool(options());
  const pool_watchdog watchdog(pool);
  EXPECT_TRUE(in_child([&](findings& found) {
    thread_pool own(options());
    found.check(busy_sum(own, 50) == sum_below(50), "works");
    found.check(busy_sum(pool, 50) == sum_below(50), "beside the inherited one");
  }));
}

INSTANTIATE_TEST_SUITE_P(shapes, pool_fork, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

class fork_options : public testing::Test {
 protected:
  void SetUp() override {
#if HEDDLE_TSAN
    GTEST_SKIP() << "ThreadSanitizer lets no child of a threaded process start threads";
#endif
  }
};

TEST_F(fork_options, name_and_hooks_are_those_of_the_pool) {
  std::atomic<int> started{0};
  thread_pool_options options;
  options.workers = 2;
  options.name = "looms";
  options.on_worker_start = [&](unsigned) { ++started; };
  thread_pool pool(std::move(options));
  const pool_watchdog watchdog(pool);
  EXPECT_TRUE(heddle_test::eventually([&] { return started == 2; }));
  EXPECT_TRUE(in_child([&](findings& found) {
    found.check(pool.name() == "looms", "the name before the first use");
    pool.submit([] {}).get();
    found.check(pool.name() == "looms", "the name");
    found.check(heddle_test::eventually([&] { return started == 4; }), "the hooks were called");
  }));
}

// Nobody can start a thread while one exists: there is no room for its stack.
class no_room_for_threads {
 public:
  no_room_for_threads() {
    ::getrlimit(RLIMIT_AS, &before_);
    std::ifstream sizes("/proc/self/statm");
    rlim_t pages = 0;
    sizes >> pages;
    rlimit tight = before_;
    tight.rlim_cur = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{1} << 20);
    ::setrlimit(RLIMIT_AS, &tight);
  }
  ~no_room_for_threads() { ::setrlimit(RLIMIT_AS, &before_); }
  no_room_for_threads(const no_room_for_threads&) = delete;
  no_room_for_threads& operator=(const no_room_for_threads&) = delete;

 private:
  rlimit before_{};
};

TEST_F(fork_options, a_first_use_that_failed_can_be_tried_again) {
#if HEDDLE_ASAN
  GTEST_SKIP() << "AddressSanitizer needs more memory at any time";
#endif
  // The stacks of the parent's threads are there for the child's: it wants more.
  static std::atomic<unsigned> cores{2};
  std::atomic<unsigned> started{0};
  thread_pool_options options;
  options.core_count = []() noexcept { return cores.load(); };
  options.name = "looms";
  options.on_worker_start = [&](unsigned) { ++started; };
  thread_pool pool(std::move(options));
  const pool_watchdog watchdog(pool);
  EXPECT_TRUE(heddle_test::eventually([&] { return started == 2; }));
  pool.submit([] {}).get();  // the child need not ask for memory for a task
  EXPECT_TRUE(in_child([&](findings& found) {
    cores = 40;
    {
      const no_room_for_threads tight;
      try {
        static_cast<void>(pool.submit([] {}));
        found.check(false, "submitting throws");
      } catch (const std::system_error&) {
      } catch (const std::bad_alloc&) {  // no room for the task even
      }
    }
    found.check(threads_in_the_process() == 1, "the threads that could be started have ended");
    started = 0;
    found.check(pool.submit([] { return 1; }).get() == 1, "there is room again");
    found.check(pool.name() == "looms", "the name");
    found.check(pool.statistics().workers == 40, "the workers");
    found.check(heddle_test::eventually([&] { return started == 40; }), "the hooks were called");
  }));
}

TEST_F(fork_options, closed_before_or_after_it_stays_closed) {
  thread_pool open(1);
  thread_pool closed(1);
  closed.shutdown();
  EXPECT_TRUE(in_child([&](findings& found) {
    found.check(open.shutdown().completed, "an unused pool shuts down");
    found.check(threads_in_the_process() == 1, "and starts no thread for it");
    found.check(open.wait_idle(), "idle it is");
    for (thread_pool* const pool : {&open, &closed}) {
      try {
        static_cast<void>(pool->submit([] {}));
        found.check(false, "submitting throws rejected");
      } catch (const heddle::rejected&) {
      }
    }
    found.check(threads_in_the_process() == 1, "no thread for that either");
  }));
  EXPECT_EQ(open.submit([] { return 1; }).get(), 1) << "in the parent";
}

TEST_F(fork_options, a_task_must_not_return_in_the_child) {
  thread_pool pool(2);
  const pool_watchdog watchdog(pool);
  int output[2];
  ASSERT_EQ(::pipe(output), 0);
  const pid_t child = pool.submit([&] {
                            const pid_t forked = ::fork();
                            if (forked == 0) {
                              ::alarm(100);
                              ::dup2(output[1], STDERR_FILENO);
                              const rlimit no_core{};
                              ::setrlimit(RLIMIT_CORE, &no_core);
                            }
                            return forked;
                          })
                          .get();
  ::close(output[1]);
  std::string said;
  char text[256];
  for (ssize_t n = 0; (n = ::read(output[0], text, sizeof text)) > 0;)
    said.append(text, static_cast<std::size_t>(n));
  ::close(output[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
  EXPECT_NE(said.find("returned in the child"), std::string::npos) << said;
}

TEST_F(fork_options, a_bound_worker_can_fork) {
  const auto allowed = heddle::kernel::read_affinity();
  const std::vector<int> bound_to(allowed.begin(), allowed.end());
  thread_pool_options options;
  options.workers = static_cast<unsigned>(bound_to.size());
  options.affinity = {heddle::kernel::placement::listed, bound_to};
  thread_pool pool(std::move(options));
  const pool_watchdog watchdog(pool);
  for (unsigned worker = 0; worker < bound_to.size(); ++worker) {
    const auto forking = [&] {
      return in_child([&](findings& found) {
        for (unsigned w = 0; w < bound_to.size(); ++w)
          found.check(pool.submit_to(w, heddle::prim::this_thread_affinity).get() ==
                          std::vector{bound_to[w]},
                      "each of the child's workers is on its CPU");
      });
    };
    EXPECT_TRUE(pool.submit_to(worker, forking).get());
  }
}

TEST_F(fork_options, a_bound_pool_that_follows_the_cores_is_as_large_in_the_child) {
  thread_pool_options options;
  options.affinity = {heddle::kernel::placement::compact};
  thread_pool pool(std::move(options));
  const pool_watchdog watchdog(pool);
  const unsigned size = pool.size();
  EXPECT_TRUE(pool.submit([&] {
                    return in_child([&](findings& found) {
                      pool.submit([] {}).get();
                      found.check(pool.size() == size, "the size");
                      found.check(pool.statistics().workers == size, "as many workers");
                    });
                  })
                  .get());
}

TEST_F(fork_options, bounded_pool) {
  thread_pool_options options;
  options.workers = 1;
  options.queue_capacity = 2;
  thread_pool pool(std::move(options));
  const pool_watchdog watchdog(pool);
  const occupied_pool occupied(pool);
  pool.post([] {});
  pool.post([] {});  // full
  EXPECT_TRUE(in_child([&](findings& found) {
    int sum = 0;
    for (int i = 0; i < 20; ++i) pool.post([&sum] { ++sum; });
    pool.wait_idle();
    found.check(sum == 20, "the child's queue has room");
  }));
}

TEST_F(fork_options, the_default_pool) {
  thread_pool& pool = heddle::default_pool();
  EXPECT_EQ(busy_sum(pool, 20), sum_below(20));
  EXPECT_TRUE(in_child([&](findings& found) {
    found.check(&heddle::default_pool() == &pool, "is the same object");
    found.check(busy_sum(heddle::default_pool(), 20) == sum_below(20), "with workers");
  }));
  EXPECT_EQ(busy_sum(pool, 20), sum_below(20));
}

}  // namespace
