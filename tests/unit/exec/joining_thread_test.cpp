#include <heddle/exec/joining_thread.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using heddle::joining_thread;
using namespace std::chrono_literals;

TEST(JoiningThread, IsAskedToStopAndJoinedByItsDestructor) {
  std::atomic<bool> ended{false};
  {
    joining_thread t("daemon", [&ended](std::stop_token stop) {
      while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
      ended = true;
    });
    EXPECT_TRUE(t.joinable());
    EXPECT_FALSE(t.finished());
  }
  EXPECT_TRUE(ended);
}

TEST(JoiningThread, PassesArgumentsAndTakesACallableWithoutToken) {
  int result = 0;
  joining_thread t(
      "adder", [](int a, std::unique_ptr<int> b, int& out) { out = a + *b; }, 40,
      std::make_unique<int>(2), std::ref(result));
  t.join();
  EXPECT_EQ(result, 42);
  EXPECT_FALSE(t.joinable());
}

TEST(JoiningThread, JoinThrowsTheException) {
  joining_thread t("thrower", [] { throw std::runtime_error("no"); });
  EXPECT_THROW(t.join(), std::runtime_error);
}

TEST(JoiningThread, AnExceptionThatNobodyReadsIsReported) {
  const auto before = heddle::unhandled_count();
  const auto old = heddle::set_unhandled_handler([](std::exception_ptr) noexcept {});
  {
    joining_thread t("thrower", [] { throw std::runtime_error("no"); });
  }
  heddle::set_unhandled_handler(old);
  EXPECT_EQ(heddle::unhandled_count(), before + 1);
}

TEST(JoiningThread, WaitsWithALimit) {
  joining_thread t("waiter", [](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
  });
  EXPECT_FALSE(t.wait_for(5ms));
  t.request_stop();
  EXPECT_TRUE(t.wait_for(60s));
  EXPECT_TRUE(t.finished());
  t.join();
  EXPECT_FALSE(t.finished());
}

TEST(JoiningThread, HasItsName) {
  std::string name;
  joining_thread t("a-name-of-its-own",
                   [&name] { std::ifstream("/proc/thread-self/comm") >> name; });
  t.join();
  EXPECT_EQ(name, "a-name-of-its-o");
}

TEST(JoiningThread, MovesAndEndsWhatItHadBefore) {
  std::atomic<int> ended{0};
  const auto until_stopped = [&ended](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    ++ended;
  };
  joining_thread first("first", until_stopped);
  joining_thread second("second", until_stopped);
  first = std::move(second);
  EXPECT_EQ(ended, 1);
  EXPECT_FALSE(second.joinable());
  EXPECT_TRUE(first.joinable());
  joining_thread third(std::move(first));
  EXPECT_TRUE(third.joinable());
}

TEST(JoiningThread, JoinWithoutAThreadThrows) {
  joining_thread t;
  EXPECT_FALSE(t.joinable());
  EXPECT_FALSE(t.finished());
  EXPECT_THROW(t.join(), heddle::no_state);
}

TEST(JoiningThread, MayDestroyItself) {
  auto holder = std::make_shared<std::unique_ptr<joining_thread>>();
  std::atomic<bool> gone{false};
  std::atomic<bool> ready{false};
  *holder = std::make_unique<joining_thread>("own-end", [holder, &gone, &ready] {
    while (!ready) std::this_thread::yield();
    holder->reset();
    gone = true;
  });
  ready = true;
  while (!gone) std::this_thread::yield();
}

}  // namespace
