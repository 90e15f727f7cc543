// A place for one job to run in: its process, its output, its time limit.
#pragma once

#include <signal.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <heddle/process/child.hpp>
#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

#include "input.hpp"
#include "spool.hpp"

namespace heddle::tool {

enum class stream { output, error };
inline constexpr std::size_t streams = 2;

class job_slot;

class slot_owner {
 public:
  // The job wrote these bytes.
  virtual void on_output(job_slot& slot, stream which, std::string_view bytes) noexcept = 0;
  // The job's process is over but for what remains to be learnt of it in /proc. Not told of every
  // job.
  virtual void before_reap(job_slot& slot) noexcept = 0;
  // The job is over: its process has ended and nobody holds its output open.
  virtual void on_job_end(job_slot& slot) noexcept = 0;

 protected:
  ~slot_owner() = default;
};

// Runs one process after the other. A job is over when its process has ended and its output has
// been closed by everyone it started, so that nothing they write is lost. A job that was told to
// stop is over when its whole process group is gone; what is left of the group `grace` after the
// process has ended is killed. From the first such job on, this process adopts what jobs leave
// behind, so that nothing remains of them, not even a zombie; the owner has to bury_orphans().
class job_slot final : public process::exit_handler {
 public:
  static constexpr std::chrono::seconds grace{2};

  // What is kept about the job on behalf of the owner, who fills it in.
  struct particulars {
    job_input input;
    unsigned attempt = 0;  // from 1
    std::string tag;
    std::array<bool, streams> at_line_start{};
    std::array<process::unique_descriptor, streams> results;
    std::uint64_t received = 0;  // bytes of standard output
    bool output_lost = false;
    std::chrono::system_clock::time_point started_at{};
  };

  // `buffer` is scratch space that all slots of a loop share.
  job_slot(process::event_loop& loop, output_store& store, std::span<char> buffer,
           slot_owner& owner);
  ~job_slot();

  // Starts `command`, with pipes for its output unless `ungrouped`. No time limit: zero.
  // Throws what process::child throws, and then nothing has happened.
  void start(bool ungrouped, std::chrono::nanoseconds time_limit);

  bool running() const noexcept { return state_ != state::idle; }
  // Of the last process it started.
  pid_t pid() const noexcept { return child_.pid(); }
  // SIGTERM for the process group. Without `escalate`, it may take as long as it likes.
  void stop(bool escalate) noexcept;
  // SIGKILL for the process group, and no more waiting for output that others hold open.
  void kill() noexcept;

  // SIGSTOP and SIGCONT for the process group. The time between does not count against limits.
  void suspend() noexcept { signal(SIGSTOP); }
  void proceed(std::chrono::nanoseconds after) noexcept;

  // Leaves output in the pipe, so that the job has to wait, until resume().
  void pause(stream which) noexcept;
  void resume(stream which) noexcept;

  // How it ended; for the owner in on_job_end().
  const process::exit_report& report() const noexcept { return report_; }
  bool timed_out() const noexcept { return timed_out_; }
  bool told_to_stop() const noexcept { return stopping_ && !timed_out_; }

  process::command command{};  // kept from job to job: most of its words stay the same
  particulars job{};
  std::array<spool, streams> kept;

 private:
  enum class state { idle, running, ended };  // ended: the process is, its output is not

  struct pipe final : process::io_handler {
    pipe(job_slot& s, stream w) noexcept : slot(s), which(w) {}
    void on_ready(std::uint32_t events) noexcept override;

    job_slot& slot;
    const stream which;
    process::unique_descriptor descriptor;
    bool paused = false;
  };

  void on_exit(const process::exit_report& report) noexcept override;
  void on_time() noexcept;
  void open_pipes(std::array<process::unique_descriptor, streams>& write_ends);
  void read(pipe& from) noexcept;
  void drain_and_close(pipe& p) noexcept;
  void close(pipe& p) noexcept;
  void signal(int number) noexcept;
  void look_at_group() noexcept;
  bool group_is_gone() const noexcept;
  void end_if_over() noexcept;

  process::event_loop& loop_;
  slot_owner& owner_;
  std::span<char> buffer_;
  process::timer timer_;
  process::child child_;
  std::array<pipe, streams> pipes_;
  process::exit_report report_{};
  state state_ = state::idle;
  bool timed_out_ = false;
  bool stopping_ = false;
  bool killed_ = false;
  bool given_up_ = false;  // SIGKILL has not helped in time
  // Both are time_point::max() for never.
  std::chrono::steady_clock::time_point deadline_{};
  std::chrono::steady_clock::time_point patience_ends_{};
};

}  // namespace heddle::tool
