// Where a profile is taken: the time it has, the signals it hears, the progress it shows.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <heddle/process/event_loop.hpp>

#include "signals.hpp"

namespace heddle::tool {

// Who has to hurry up when a signal comes.
class interruptible {
 public:
  // To be stopped at once; the second time, without asking nicely.
  virtual void interrupt(bool again) noexcept = 0;
  // Ctrl-Z, and what comes after it.
  virtual void suspend() noexcept {}
  virtual void proceed(std::chrono::nanoseconds) noexcept {}

 protected:
  ~interruptible() = default;
};

// Whoever measures does so on the thread that has made the stage, and waits here.
class profile_stage final : private signal_listener {
 public:
  using clock = std::chrono::steady_clock;

  // Throws std::system_error.
  explicit profile_stage(std::chrono::nanoseconds time_limit);
  profile_stage(const profile_stage&) = delete;
  profile_stage& operator=(const profile_stage&) = delete;

  process::event_loop& loop() noexcept { return loop_; }
  clock::time_point start() const noexcept { return start_; }
  clock::time_point deadline() const noexcept { return deadline_; }
  std::chrono::nanoseconds time_limit() const noexcept { return deadline_ - start_; }

  // The signal that asked us to stop; 0 while there is none.
  int signal() const noexcept { return signal_; }
  // Times that Ctrl-Z stopped us: what was measured meanwhile is worth nothing.
  unsigned pauses() const noexcept { return pauses_; }

  // Serves events until stop_waiting() or the time. With `told`, that is who is told of signals.
  void wait(clock::time_point until = clock::time_point::max(), interruptible* told = nullptr);
  void stop_waiting() noexcept { loop_.stop(); }

  // Runs `work` on a thread of its own, and serves events until it returns. A signal makes its
  // token say so. Throws what it throws.
  void run_aside(const std::function<void(std::stop_token)>& work);

  // What the progress line says from now on, if standard error is a terminal.
  void show(std::function<std::string()> line);
  // Takes it away, and says something else there, with "heddle profile: " before it.
  void say(const std::string& message);
  // Puts bytes where the progress line was.
  void pass_on(std::string_view bytes) noexcept;
  // Takes it away for good.
  void clear() noexcept;

  // Ends this process by the signal that asked for it, if there was one.
  void die_if_told();

 private:
  void on_signal(int number) noexcept override;
  void draw() noexcept;

  process::event_loop loop_;
  const clock::time_point start_ = clock::now();
  const clock::time_point deadline_;
  process::timer end_;
  process::timer redraw_;
  std::optional<signal_source> signals_;
  interruptible* told_ = nullptr;
  std::function<std::string()> line_;
  const bool has_screen_;
  bool shown_ = false;
  int signal_ = 0;
  unsigned signals_seen_ = 0;
  unsigned pauses_ = 0;
};

// How long a run should be that many of fit into the time limit. Where a CPU quota grants time in
// periods, long enough to see several of these. Between 20 ms and a second.
std::chrono::nanoseconds usual_length(std::chrono::nanoseconds time_limit);

// "8 threads at once: run 14 of about 36, 0:12 of at most 1:00". Size 0 is the adaptive law.
std::string progress_line(const profile_stage& stage, std::string_view workers, int size,
                          int measured, int expected);

}  // namespace heddle::tool
