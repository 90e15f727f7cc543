// Something to do when a thread ends: the part of its end that a thread_local destructor plays,
// behind everything that the pool does on its threads.
#pragma once

#include <functional>
#include <utility>

namespace heddle_test {

class thread_exit {
 public:
  // Calls f when the calling thread ends, in place of what was asked before.
  static void call(std::function<void()> f) { of_this_thread().f_ = std::move(f); }

  thread_exit(const thread_exit&) = delete;
  thread_exit& operator=(const thread_exit&) = delete;

 private:
  thread_exit() = default;
  ~thread_exit() {
    if (f_) f_();
  }
  static thread_exit& of_this_thread() {
    static thread_local thread_exit exit;
    return exit;
  }

  std::function<void()> f_;
};

}  // namespace heddle_test
