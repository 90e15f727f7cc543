// A line on the terminal that says how far a run has come.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "input.hpp"
#include "sink.hpp"

namespace heddle::tool {

struct progress {
  std::uint64_t done = 0;   // ended now, or skipped because they were done before
  std::uint64_t ended = 0;  // ended in this run
  std::uint64_t failed = 0;
  std::uint64_t running = 0;
  std::optional<input_sequence::size> expected{};
};

// The text of the line, at most `width` columns wide. It says 100 % only when all is known to be
// done; an estimated total has a "~" before it; without one there is no percentage.
std::string progress_line(const progress& p, double rate, std::chrono::duration<double> elapsed,
                          std::size_t width);

// Draws the line on standard error, and takes it away before other output.
class progress_bar {
 public:
  using clock = std::chrono::steady_clock;

  // `screen` is standard error; `output` is standard output, which may be the same screen.
  progress_bar(sink& screen, const sink& output, clock::time_point start)
      : screen_(screen), output_(output), start_(start) {}

  void draw(const progress& p, clock::time_point now);
  void hide() noexcept;
  // Draws it for the last time, and leaves it there.
  void finish(const progress& p, clock::time_point now);

 private:
  // Jobs a second, the last few seconds counting most.
  double rate(const progress& p, clock::time_point now);
  // Whether a job has begun a line on the screen that it has not finished yet.
  bool in_midline() const noexcept;
  void show(const progress& p, double rate, clock::time_point now);

  sink& screen_;
  const sink& output_;
  clock::time_point start_;
  clock::time_point last_{};
  std::uint64_t last_ended_ = 0;
  double rate_ = 0;
  bool shown_ = false;
};

}  // namespace heddle::tool
