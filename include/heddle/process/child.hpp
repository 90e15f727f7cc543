// Starting a child process and learning how it ended, on an event loop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/process/event_loop.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// What to start. Descriptors are borrowed: the child gets copies, the caller keeps the originals.
// Everything else the child inherits is put back to a clean state: no descriptor that is not named
// here, default signal handlers, empty signal mask, and (by default) a process group of its own, so
// that the whole tree can be signalled.
struct command {
  // argv[0] is looked up in the parent's PATH unless it has a slash. A file without a format that
  // the kernel knows is run by /bin/sh, as execvp does.
  std::vector<std::string> argv;
  std::vector<std::string> environment{};  // "NAME=value", added to or replacing the parent's
  std::string directory{};                 // "" = the parent's; relative paths start from it
  int standard_input = -1;                 // -1 = /dev/null
  int standard_output = -1;                // -1 = the parent's
  int standard_error = -1;                 // -1 = the parent's
  // Others that the child gets, under the same numbers; 3 or above.
  std::vector<int> descriptors{};
  bool own_group = true;
  // The soft limit on open descriptors, at most the hard one; none = the parent's. For a parent
  // that has raised its own: programs that use select() cannot have numbers above 1023.
  std::optional<std::uint64_t> descriptor_limit{};
};

// How a child ended, and what it cost. Times of the child and of those descendants it waited for.
struct exit_report {
  int status = 0;  // exit status, when signal is 0
  int signal = 0;  // signal that killed it, or 0
  bool core_dumped = false;
  // Somebody else took the status: the program ignores SIGCHLD, or waits for any child itself.
  // Then only the two times are known.
  bool lost = false;
  std::chrono::steady_clock::time_point started{};
  std::chrono::steady_clock::time_point ended{};
  std::chrono::microseconds user{};
  std::chrono::microseconds system{};
  // Never less than the parent's own at the start: Linux counts the image before exec.
  long max_rss_kib = 0;
  long voluntary_switches = 0;
  long involuntary_switches = 0;

  bool success() const noexcept { return status == 0 && signal == 0 && !lost; }
};

// Told once, on the loop's thread, after the child has been reaped. May destroy the child's handle
// and start other children.
class HEDDLE_API exit_handler {
 public:
  virtual void on_exit(const exit_report& report) noexcept = 0;

 protected:
  ~exit_handler() = default;
};

// A running child. Movable, not copyable. A running child whose handle is destroyed is killed with
// its group and reaped, and its handler is not told. The loop must outlive the handle.
class HEDDLE_API child {
 public:
  // Starts the command. When it returns the program image is running (or a signal has ended it
  // already): a command that cannot be executed is reported here and leaves no process behind.
  // Blocks until exec (some 0.1-1 ms). Throws std::system_error with the errno of the failed step
  // (ENOENT, EACCES, E2BIG, EAGAIN, EMFILE, ...) and what() naming the step and the program;
  // std::invalid_argument for an empty argv, a NUL byte inside a string, or a number below 3 among
  // the other descriptors; std::bad_alloc.
  // Loop thread only. `handler` must outlive the child. Needs Linux 5.4.
  child(event_loop& loop, const command& what, exit_handler& handler);
  child() noexcept = default;
  child(child&&) noexcept;
  child& operator=(child&&) noexcept;
  ~child();

  // The pid stays the same after the end; 0 for a default constructed handle.
  pid_t pid() const noexcept;
  // Until it is reaped.
  bool running() const noexcept;

  // Signals the child alone, or its whole process group (falls back to the child when it has no
  // group of its own). Safe against pid reuse while the child is not reaped; nothing happens after.
  void signal(int number) noexcept;
  void signal_group(int number) noexcept;

  // From now on, what is left of the child's group when the child itself ends is killed, before
  // the child is reaped. Does nothing without a group of its own.
  void kill_group_at_exit() noexcept;

  // A held child is not reaped when it ends, and its handler is told only after release(): until
  // then its group can be signalled, which is what a reader of its output needs when descendants
  // keep the pipe open. release() may call the handler before it returns.
  void hold() noexcept;
  void release() noexcept;

 private:
  struct state;
  state* state_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI::process
