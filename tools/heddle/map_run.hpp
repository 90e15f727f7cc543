// One run of `heddle map`, from the first input to the exit status.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <heddle/base/backoff.hpp>
#include <heddle/process/event_loop.hpp>

#include "adaptive_slots.hpp"
#include "bar.hpp"
#include "input.hpp"
#include "job_slot.hpp"
#include "joblog.hpp"
#include "jobserver.hpp"
#include "map_options.hpp"
#include "output.hpp"
#include "parallelism.hpp"
#include "report.hpp"
#include "results.hpp"
#include "signals.hpp"
#include "sink.hpp"
#include "spool.hpp"
#include "template.hpp"

namespace heddle::tool {

// Everything happens on one event loop, in this order for each job:
//
//   input -> slot -> process -> pipes -> kept output -> order -> sinks
//
// Jobs are started whenever something has happened that may have made room: a job ended, an input
// arrived, a pause is over, an output was taken, there are more slots or job tokens. That is
// start_jobs(); it stops at the first thing that is missing. finish_if_done() then looks whether
// nothing is left.
class map_run final : private slot_owner,
                      private sink_owner,
                      private input_listener,
                      private signal_listener,
                      private sizing_listener,
                      private token_listener {
 public:
  // Opens what the options name. Throws run_error and std::system_error.
  explicit map_run(const map_options& options);
  ~map_run();
  map_run(const map_run&) = delete;
  map_run& operator=(const map_run&) = delete;

  // The exit status; does not return when the run was ended by a signal.
  int run();

 private:
  using clock = std::chrono::steady_clock;

  // How far the run is on its way to the end; it never goes back.
  enum class phase { running, finishing, stopping, killing };
  enum class outcome { success, failure, stopped };

  // How the last attempt of a job went.
  struct verdict {
    outcome what = outcome::success;
    int exit_value = 0;
    int signal = 0;
    std::uint64_t received = 0;
    std::chrono::system_clock::time_point started{};
    std::chrono::nanoseconds runtime{};
  };
  // A failed job that waits for its next attempt. What its last one printed is kept until then.
  struct waiting_retry {
    job_input input;
    unsigned attempts;
    verdict last;
    spool_pair output;
  };

  // Starting.
  void choose_policy();
  void make_jobserver(jobserver_style style);
  void start_jobs() noexcept;
  void start_some();
  bool may_start();
  bool turn_is_over();
  job_slot& idle_slot();
  bool take_job(job_slot& slot);
  bool take_retry(job_slot& slot);
  bool take_input(job_slot& slot);
  void launch(job_slot& slot);
  void prepare_records(job_slot& slot);
  void on_refusal(job_slot& slot, const std::system_error& error);
  void fail_unstarted(job_slot& slot, int exit_value, std::string_view why);
  void wake_at(clock::time_point when);
  unsigned slot_limit();
  std::uint64_t descriptors_a_job() const noexcept;
  void allow_descriptors(std::uint64_t wanted) noexcept;

  // Ending.
  void before_reap(job_slot& slot) noexcept override;
  void on_job_end(job_slot& slot) noexcept override;
  void end_attempt(job_slot& slot);
  verdict judge(job_slot& slot);
  void schedule_retry(job_slot& slot, const verdict& v);
  void conclude(const job_input& input, const std::vector<std::string>& argv, spool_pair& output,
                const verdict& v);
  void log(const job_input& input, const std::vector<std::string>& argv, const verdict& v);
  void check_halt();
  void enter(phase next, bool escalate);
  void give_up(std::string_view why, phase next = phase::stopping) noexcept;
  void abandon_retries();
  void finish_if_done() noexcept;

  // Output.
  void on_output(job_slot& slot, stream which, std::string_view bytes) noexcept override;
  void pass_or_keep(job_slot& slot, stream which, std::string_view bytes);
  job_slot* eldest() const noexcept;
  void let_go_on() noexcept;
  bool may_pass(const job_slot& slot) const;
  void let_pass(job_slot& slot);
  void find_passing();
  void before_screen_output(sink& s) noexcept override;
  void on_drained(sink& s) noexcept override;
  void on_write_failed(sink& s, int error) noexcept override;
  void say(std::string_view message) noexcept;

  // Events.
  void on_input() noexcept override;
  void on_choice(const sizing::logged_choice& choice) noexcept override;
  void on_more_slots() noexcept override;
  void on_blindness() noexcept override;
  void on_token() noexcept override;
  void on_signal(int number) noexcept override;
  void pause_with_terminal() noexcept;
  void tick() noexcept;

  progress progress_now() const;
  int exit_status() const noexcept;

  const map_options& options_;
  const bool ordered_;
  process::event_loop loop_;
  output_store store_;
  sink out_;
  sink err_;
  command_template template_;
  input_sequence inputs_;
  std::unique_ptr<slot_policy> policy_;
  adaptive_slots* adaptive_ = nullptr;  // the policy, if it is one that learns
  std::unique_ptr<job_tokens> tokens_;  // none without a jobserver
  run_statistics statistics_;
  ordered_output order_;
  joblog_contents done_before_;
  std::optional<joblog> joblog_;
  std::optional<results_folder> results_;
  std::optional<progress_bar> bar_;
  backoff backoff_;
  process::timer wake_;
  process::timer tick_;
  std::optional<signal_source> signals_;

  process::command first_command_;  // what all jobs have in common
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<job_slot>> slots_;
  std::vector<job_slot*> idle_;
  unsigned running_ = 0;
  std::multimap<clock::time_point, waiting_retry> retries_;
  std::optional<waiting_retry> retry_in_hand_;  // without its input, until it runs
  std::optional<job_input> refused_;            // the kernel would not start it now
  unsigned refusals_ = 0;                       // in a row, with nothing running
  bool wait_for_room_ = false;  // nothing starts before a job ends or the wake timer fires
  clock::time_point wake_time_{};
  clock::time_point next_start_{};
  clock::time_point turn_ends_{};
  job_slot* passing_ = nullptr;  // the job whose output goes straight on
  bool held_back_ = false;       // some jobs' output is not read, for want of disk
  std::string tagged_;

  phase phase_ = phase::running;
  bool input_ended_ = false;
  bool trouble_ = false;
  int signal_ = 0;
  int signals_seen_ = 0;
};

}  // namespace heddle::tool
