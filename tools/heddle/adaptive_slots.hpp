// -j auto: as many jobs as the machine and the jobs themselves are best served with.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <heddle/process/event_loop.hpp>
#include <heddle/sizing/law.hpp>

#include "job_meter.hpp"
#include "parallelism.hpp"
#include "sizing_log.hpp"
#include "surroundings.hpp"

namespace heddle::tool {

class sizing_listener {
 public:
  virtual void on_choice(const sizing::logged_choice& choice) noexcept = 0;
  // There may be more jobs than before. May call the policy.
  virtual void on_more_slots() noexcept = 0;
  // Told once, when it first matters: the kernel does not say how long jobs wait for a CPU.
  virtual void on_blindness() noexcept = 0;

 protected:
  ~sizing_listener() = default;
};

// Looks at the jobs at the end of each window of time and asks the law of adaptive pools for the
// next size. Windows are taken only while more jobs would run if they might, and are so long that
// looking costs at most 0.5 % of the usable cores.
class adaptive_slots final : public slot_policy {
 public:
  using clock = std::chrono::steady_clock;

  struct options {
    int most = 1024;
    std::uint64_t descriptors_a_job = 3;
    sizing::law_maker make_law = &sizing::make_adaptive_law;
    kernel::tree files{};
  };

  adaptive_slots(process::event_loop& loop, const options& o, sizing_listener& listener);

  unsigned slots() override { return static_cast<unsigned>(size_); }
  unsigned most() override { return static_cast<unsigned>(options_.most); }
  void on_start(pid_t job) override;
  void before_reap(pid_t job) noexcept override;
  void on_end(pid_t job, const process::exit_report& report) noexcept override;
  void on_limit(std::uint64_t waiting) override;
  void on_shortage() noexcept override;
  void on_interruption() noexcept override;

  const sizing_log& log() const noexcept { return log_; }

 private:
  void begin_window(clock::time_point now);
  void start_counting(clock::time_point now);
  void pay(std::chrono::nanoseconds cost);
  void end_window() noexcept;
  void decide(clock::time_point now);
  sizing::window measure(clock::time_point now);
  sizing::worker_needs needs() const;
  void take(const sizing::choice& c, const sizing::window& w);
  void arm(clock::time_point now);

  const options options_;
  sizing_listener& listener_;
  const clock::time_point start_;
  process::timer timer_;
  job_meter meter_;
  surroundings surroundings_;
  sizing::headroom room_{};
  std::unique_ptr<sizing::law> law_;
  sizing_log log_;

  int size_ = 1;
  std::chrono::nanoseconds look_again_{};
  std::chrono::nanoseconds affordable_{};  // windows that are shorter would cost too much
  std::uint64_t ended_ = 0;
  long own_image_kib_;      // what a job has at its start is not its own
  double mean_memory_ = 0;  // bytes, of jobs that have ended; 0 = no more than ours

  // The window in hand.
  bool at_limit_ = false;  // at this moment
  bool was_short_ = false;
  std::uint64_t waiting_ = 0;  // inputs, when the limit was met last
  std::uint64_t fewest_waiting_ = 0;
  clock::time_point window_start_;
  job_times before_;
  std::uint64_t ended_before_ = 0;
};

}  // namespace heddle::tool
