// Tasks that tests of more than one file await.
#pragma once

#include <atomic>
#include <chrono>
#include <stdexcept>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/task.hpp>

namespace heddle_test {

inline heddle::coro::task<int> number(int n) { co_return n; }

inline heddle::coro::task<int> late_number(int n) {
  co_await heddle::coro::delay(std::chrono::microseconds(100));
  co_return n;
}

inline heddle::coro::task<int> failing(const char* why) {
  throw std::runtime_error(why);
  co_return 0;
}

// Ends when it is told to stop, and not before.
inline heddle::coro::task<> until_stopped(std::atomic<int>& stopped) {
  try {
    co_await heddle::coro::delay(std::chrono::hours(24));
  } catch (const heddle::cancelled&) {
    ++stopped;
    throw;
  }
}

// Knows by how many it is held.
struct noted_context : heddle::context_node {
  noted_context() noexcept
      : context_node{
            [](heddle::context_node* n) noexcept { ++static_cast<noted_context*>(n)->held; },
            [](heddle::context_node* n) noexcept { --static_cast<noted_context*>(n)->held; }} {}
  std::atomic<int> held{0};
};

}  // namespace heddle_test
