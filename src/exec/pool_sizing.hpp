// Who finds the size of an adaptive pool: docs/protocols/pool_sizing.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/exec/pool_report.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sizing/law.hpp>

#include "pool_core.hpp"
#include "pool_signals.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// What the sizer may take of the CPU: a share of the usable cores, with a little in advance.
class cpu_allowance {
 public:
  void earn(std::chrono::nanoseconds time, double cores) noexcept;
  void spend(std::chrono::nanoseconds cpu) noexcept { credit_ -= cpu; }
  // Until there is credit again.
  std::chrono::nanoseconds overdrawn_for(double cores) const noexcept;

 private:
  static constexpr double share = 0.008;
  static constexpr std::chrono::nanoseconds most = std::chrono::milliseconds(20);

  std::chrono::nanoseconds credit_ = most;
};

// Watches an adaptive pool through windows of time, asks the law, and sets the size. A thread of
// its own, which sleeps while the pool has nothing to do.
class pool_sizer {
 public:
  // Throws std::invalid_argument for a wish that cannot be, what make_law and the law throw.
  pool_sizer(pool_core& core, const sizing::adaptive& wish);
  pool_sizer(const pool_sizer&) = delete;
  pool_sizer& operator=(const pool_sizer&) = delete;

  unsigned first_size() const noexcept { return static_cast<unsigned>(first_.size); }
  unsigned most() const noexcept { return static_cast<unsigned>(most_); }

  // Throws std::system_error when the system refuses a thread.
  void start();

  // Under the pool's sleep mutex: so many workers were busy since the last call.
  void book(unsigned busy) noexcept;
  // Under the pool's sleep mutex: a worker is being woken, or would be if one could be had.
  void rouse() noexcept;
  // Under the pool's sleep mutex: something was changed that the sizer must know at once.
  void wake() noexcept { parker_.unpark(); }

  void set_on(bool on) noexcept;
  bool is_on() const noexcept { return on_.load(prim::relaxed); }

  bool has_left() const noexcept;  // under the pool's threads mutex
  void join_if_left() noexcept;
  void let_go() noexcept;  // under the pool's threads mutex

  std::vector<sizing::logged_choice> log() const;
  void add_to(pool_statistics& s) const noexcept;
  sizing_report report() const;

 private:
  struct look {
    prim::time_point at{};
    std::chrono::nanoseconds busy{};   // since the last look
    pool_signals::activity threads{};  // on the average since the last look
    std::uint64_t completed = 0;       // since the pool began
    std::uint64_t queued = 0;
  };

  void main() noexcept;
  void install() noexcept;
  void run();
  bool rest() noexcept;
  bool may_rest() noexcept;
  bool pause_until(prim::time_point when) noexcept;
  look take_look();
  sizing::window between(const look& begin, const look& end);
  bool decide(const sizing::window& window);
  void apply(const sizing::window& now, const sizing::choice& c);
  bool cap_threads(const sizing::window& now);
  void update_bounds(prim::time_point now);
  int most_now() const noexcept;
  void tell_bounds() noexcept;
  void write_down(const sizing::logged_choice& entry) noexcept;
  std::chrono::nanoseconds pause_length() const noexcept;
  std::chrono::nanoseconds since_birth(prim::time_point t) const noexcept;
  void earn(prim::time_point until) noexcept;
  void pay() noexcept;

  static constexpr std::size_t log_capacity = 256;

  pool_core& core_;
  const int min_;
  const int most_;  // that the options allow
  std::unique_ptr<sizing::law> law_;
  sizing::choice first_;
  prim::thread thread_;
  prim::parker parker_;
  bool started_ = false;  // under the pool's threads mutex, as the next one
  bool left_ = false;

  // Under the pool's sleep mutex.
  bool asleep_ = false;
  std::chrono::nanoseconds busy_time_{};
  prim::time_point booked_at_{};

  prim::atomic<bool> on_{true};

  // Of the sizer's thread alone.
  pool_signals signals_;
  std::vector<pool_signals::thread> threads_;
  double cores_ = 1;
  prim::time_point cores_read_at_{};
  prim::time_point headroom_read_at_{};
  sizing::headroom headroom_{};  // most_, or what the process may have where that is less
  int thread_cap_ = 0;           // 0: the system has refused no thread lately
  prim::time_point retry_at_{};
  std::chrono::nanoseconds retry_after_{};
  std::uint64_t refused_seen_ = 0;
  std::chrono::nanoseconds look_again_{};
  bool is_quiet_ = false;  // nothing ended in the last window
  cpu_allowance allowance_;
  prim::time_point earned_until_{};
  std::chrono::nanoseconds paid_{};  // of the thread's CPU clock

  mutable prim::mutex log_mutex_;
  std::vector<sizing::logged_choice> log_ HEDDLE_GUARDED_BY(log_mutex_);
  std::size_t log_begin_ HEDDLE_GUARDED_BY(log_mutex_) = 0;
  double reported_cores_ HEDDLE_GUARDED_BY(log_mutex_) = 1;
  int reported_most_ HEDDLE_GUARDED_BY(log_mutex_) = 1;

  prim::atomic<std::uint64_t> steps_{0};
  prim::atomic<std::uint64_t> windows_{0};
  prim::atomic<std::chrono::nanoseconds::rep> cpu_time_{0};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
