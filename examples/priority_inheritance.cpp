// A lock between a real-time thread and a normal one. Without the right to have real-time threads
// it works as any mutex.

#include <chrono>
#include <cstdio>
#include <mutex>
#include <system_error>
#include <thread>

#include <heddle/prim/scheduling.hpp>
#include <heddle/sync/priority_inheritance_mutex.hpp>

namespace {

using namespace std::chrono_literals;

// [inheritance]
// A control loop reads what a normal thread sets now and then.
class set_point {
 public:
  void set(double value) {
    const std::lock_guard lock(mutex_);
    value_ = value;  // with the control loop's priority, while it waits
  }
  double get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  // Rather an old value than a late one.
  double get_in_time(double old) {
    const std::unique_lock lock(mutex_, 100us);
    return lock.owns_lock() ? value_ : old;
  }

 private:
  heddle::priority_inheritance_mutex mutex_{"set point"};
  double value_ = 0;
};

void control(set_point& wanted) {
  heddle::prim::set_this_thread_priority(
      {.policy = heddle::prim::thread_policy::fifo, .level = 20});
  double now = wanted.get();
  for (int cycle = 0; cycle < 10; ++cycle) {
    now = wanted.get_in_time(now);
    std::this_thread::sleep_for(1ms);
  }
  std::printf("%.1f\n", now);
}
// [inheritance end]

}  // namespace

int main() {
  set_point wanted;
  std::thread loop([&] {
    try {
      control(wanted);
    } catch (const std::system_error& e) {
      std::printf("no real-time threads here: %s\n", e.what());
    }
  });
  for (int i = 1; i <= 100; ++i) wanted.set(i);
  loop.join();
  return wanted.get() == 100 ? 0 : 1;
}
