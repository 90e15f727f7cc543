// A command as a task: start it, feed it, collect what it writes, limit its time, learn how it
// ended.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>

#include <heddle/future/future.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/process/child.hpp>
#include <heddle/process/event_loop.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// Which of a command's standard output and standard error are collected.
enum class capture {
  none,
  output,
  error,
  both,
  merged,  // both, in the order written, in completed::out
};

// What happens to a command that writes more than output_limit.
enum class overflow {
  drop,  // it runs on; the rest is read and thrown away
  kill,  // its group is killed
};

struct spawn_options {
  capture collect = capture::both;
  // What the command reads. It is copied into a file in memory before the start, so that it needs
  // no feeding; without it the command reads command::standard_input.
  std::optional<std::string> input{};
  // The time from the start after which the group is told to stop.
  std::optional<std::chrono::nanoseconds> timeout{};
  // Asks for the same at any time. The future is then `cancelled`.
  prim::stop_token stop{};
  // From being told to stop (SIGTERM) to being killed (SIGKILL).
  std::chrono::nanoseconds grace = std::chrono::seconds(2);
  // Bytes kept of each stream.
  std::size_t output_limit = std::numeric_limits<std::size_t>::max();
  overflow beyond_limit = overflow::drop;
};

struct completed {
  exit_report report;
  std::string out;
  std::string err;
  bool timed_out = false;
  bool overflowed = false;  // a stream reached its limit, and `out` or `err` is not all of it

  bool success() const noexcept { return report.success() && !timed_out; }
};

// Runs a command on the loop and completes the future when it has ended and has been reaped, and
// when nobody has its collected output open any more: descendants that keep it open are waited for,
// until the timeout if there is one. Descriptors in the command stay open until then. Destroying
// the future does not stop the command. A command that is told to stop (timeout, stop,
// future::cancel) gets SIGTERM and SIGCONT for its whole group, and SIGKILL after `grace`. When it
// has ended, what is left of its group is killed; a process that left the group is left alone, and
// what it still writes is not read.
//
// The future throws std::system_error when the command cannot be started, `cancelled` after a stop
// or when the loop is destroyed first, std::bad_alloc. Waiting for it on the loop's own thread
// never ends.
// Thread-safety: any thread. Blocks? No; the start happens on the loop's thread.
// Throws std::invalid_argument when a stream is both given and collected or input is given twice,
// and for a negative time; std::bad_alloc.
HEDDLE_API future<completed> spawn(event_loop& loop, command what, spawn_options options = {});

}  // namespace heddle::inline HEDDLE_ABI::process
