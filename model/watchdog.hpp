// Ends the process, with a message, when the body does what the checker cannot take back: it blocks
// outside of the seam, or crashes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

class engine;

// While it lives, looks whether operations are made.
class watchdog {
 public:
  watchdog(const engine& watched, std::chrono::nanoseconds limit);
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

 private:
  void watch();

  const engine& watched_;
  const std::chrono::nanoseconds limit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
  std::thread thread_;
};

// While it lives, a crash says by which trail it came.
class crash_report {
 public:
  crash_report();
  ~crash_report();
  crash_report(const crash_report&) = delete;
  crash_report& operator=(const crash_report&) = delete;

 private:
  void* stack_;
};

}  // namespace heddle::inline HEDDLE_ABI::model::detail
