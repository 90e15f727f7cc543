#include <heddle/sync/waiter.hpp>

#include <thread>
#include <type_traits>

#include <gtest/gtest.h>
#include <heddle/prim/clock.hpp>

#include "support/threads.hpp"

namespace {

struct counting final : heddle::waiter {
  counting() noexcept
      : waiter([](heddle::waiter* w) noexcept { ++static_cast<counting*>(w)->wakes; }) {}
  int wakes = 0;
};

TEST(waiter, is_woken_through_its_function) {
  counting c;
  heddle::waiter& w = c;
  EXPECT_EQ(w.next.get(), nullptr);
  w.wake(&w);
  EXPECT_EQ(c.wakes, 1);
  EXPECT_FALSE(std::is_copy_constructible_v<counting>);
}

TEST(thread_waiter, wakes_the_thread_that_parks_in_it) {
  const heddle_test::watchdog dog;
  heddle::thread_waiter w;
  EXPECT_FALSE(w.parker.park_until(heddle::prim::clock::now()));
  std::thread other([&w] { w.wake(&w); });
  w.parker.park();
  other.join();
}

}  // namespace
