#include <heddle/probe/counters.hpp>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

TEST(owned_counter, counts) {
  heddle::owned_counter c;
  EXPECT_EQ(c.read(), 0U);
  c.add();
  c.add(41);
  EXPECT_EQ(c.read(), 42U);
}

TEST(shared_counter, counts_exactly_from_many_threads) {
  heddle::shared_counter c;
  EXPECT_EQ(c.read(), 0U);
  heddle_test::run_together(4, [&c](unsigned i) {
    for (int k = 0; k < 5000; ++k) c.add(i + 1);
  });
  EXPECT_EQ(c.read(), 5000U * (1 + 2 + 3 + 4));
}

TEST(owned_counter, shows_what_its_thread_did_before_it_counted) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 200; ++round) {
    heddle::owned_counter c;
    int written = 0;  // plain: a sanitizer sees a missing synchronization
    std::thread counting([&] {
      written = 1;
      c.add();
    });
    while (c.read() == 0) std::this_thread::yield();
    EXPECT_EQ(written, 1);
    counting.join();
  }
}

// Work passes through three threads; a reader who reads in the order of the contract never sees
// more completed than started, nor more started than submitted.
TEST(owned_counter, snapshots_are_consistent) {
  const heddle_test::watchdog dog;
  heddle::owned_counter submitted;
  heddle::owned_counter started;
  heddle::owned_counter completed;
  constexpr std::uint64_t tasks = 20'000;
  std::thread submitter([&] {
    for (std::uint64_t i = 0; i < tasks; ++i) submitted.add();
  });
  std::thread starter([&] {
    for (std::uint64_t i = 0; i < tasks; ++i) {
      while (submitted.read() <= i) std::this_thread::yield();
      started.add();
    }
  });
  std::thread completer([&] {
    for (std::uint64_t i = 0; i < tasks; ++i) {
      while (started.read() <= i) std::this_thread::yield();
      completed.add();
    }
  });
  for (std::uint64_t last = 0; last < tasks;) {
    const std::uint64_t c = completed.read();
    const std::uint64_t st = started.read();
    const std::uint64_t su = submitted.read();
    ASSERT_LE(c, st);
    ASSERT_LE(st, su);
    ASSERT_LE(last, c);
    last = c;
  }
  submitter.join();
  starter.join();
  completer.join();
}

}  // namespace
