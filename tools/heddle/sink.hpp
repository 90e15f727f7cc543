// Writes to standard output or standard error without ever waiting for a slow reader.
#pragma once

#include <string_view>

#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

#include "spool.hpp"

namespace heddle::tool {

class sink;

class sink_owner {
 public:
  // The sink is about to put bytes on the screen.
  virtual void before_screen_output(sink& s) noexcept = 0;
  // What waits has shrunk below the low mark, or to nothing.
  virtual void on_drained(sink& s) noexcept = 0;
  // Nothing more can be written; what waits and what comes is dropped. Called once.
  virtual void on_write_failed(sink& s, int error) noexcept = 0;

 protected:
  ~sink_owner() = default;
};

// Writes what it can at once; the rest waits in a spool until the descriptor is ready.
//
// A pipe or a terminal is shared with other programs, so it may not be made non-blocking: that is a
// property of the open file, not of our descriptor. Instead the sink opens it once more through
// /proc, which gives an open file of its own. Where that is refused, it writes no more than
// PIPE_BUF bytes after the kernel said that there is room. Sockets take MSG_DONTWAIT. Regular files
// do not make anybody wait, and are written directly.
class sink final : public process::io_handler {
 public:
  // When this much waits, whoever can wait should.
  static constexpr std::uint64_t high_mark = std::uint64_t{1} << 20;
  static constexpr std::uint64_t low_mark = high_mark / 4;

  sink(process::event_loop& loop, int descriptor, output_store& store, sink_owner& owner);
  ~sink();
  sink(const sink&) = delete;
  sink& operator=(const sink&) = delete;

  // Throw run_error when the bytes can neither be written nor be kept.
  void write(std::string_view bytes);
  void write(spool&& bytes);
  // Puts bytes on the screen that are no output: only when nothing waits, and as far as they go.
  void decorate(std::string_view bytes) noexcept;

  int descriptor() const noexcept { return descriptor_; }
  bool is_screen() const noexcept { return kind_ == kind::screen; }
  bool failed() const noexcept { return failed_; }
  std::uint64_t waiting() const noexcept { return queue_.size(); }
  // Whether the last byte written ended a line, or nothing was written yet.
  bool at_line_start() const noexcept { return at_line_start_; }

 private:
  enum class kind { file, pipe, screen, socket };

  void on_ready(std::uint32_t events) noexcept override;
  void pump();
  // Bytes taken, 0 when it would have to wait.
  std::size_t try_write(std::string_view bytes) noexcept;
  void wait();
  void stop_waiting() noexcept;
  void fail(int error) noexcept;

  process::event_loop& loop_;
  sink_owner& owner_;
  const int descriptor_;
  process::unique_descriptor reopened_;
  int target_;  // what is written to: reopened_, or descriptor_
  kind kind_ = kind::file;
  spool queue_;
  process::timer go_on_;  // with a long queue for a file, after other events had their turn
  bool watched_ = false;
  bool failed_ = false;
  bool at_line_start_ = true;
};

}  // namespace heddle::tool
