// The signals that a user or the system sends to a run.
#pragma once

#include <signal.h>

#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

namespace heddle::tool {

class signal_listener {
 public:
  virtual void on_signal(int number) noexcept = 0;

 protected:
  ~signal_listener() = default;
};

// Turns SIGTSTP, SIGWINCH and the signals that would end us, as long as it lives, into events of
// the loop. Not those that tell of a bug of ours, or that a handler cannot have.
// Signals that the parent made us ignore (as nohup does) stay ignored. SIGPIPE and SIGXFSZ are
// ignored from then on, so that a reader who leaves and a size limit are errors of write(2).
class signal_source final : public process::io_handler {
 public:
  // Throws std::system_error.
  signal_source(process::event_loop& loop, signal_listener& listener);
  ~signal_source();
  signal_source(const signal_source&) = delete;
  signal_source& operator=(const signal_source&) = delete;

 private:
  void on_ready(std::uint32_t events) noexcept override;

  process::event_loop& loop_;
  signal_listener& listener_;
  sigset_t before_{};
  process::unique_descriptor descriptor_;
};

// Stops this process as Ctrl-Z does: not at all where nobody could continue it. Returns afterwards.
void stop_with_terminal() noexcept;

// Ends this process by the signal, as if it had never been handled, so that our parent sees why.
[[noreturn]] void die_of(int number) noexcept;

}  // namespace heddle::tool
