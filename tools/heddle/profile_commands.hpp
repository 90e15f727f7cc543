// Commands as the tasks that are measured.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/process/event_loop.hpp>

#include "adaptive_slots.hpp"
#include "input.hpp"
#include "job_meter.hpp"
#include "job_slot.hpp"
#include "profile_batch.hpp"
#include "profile_options.hpp"
#include "profile_stage.hpp"
#include "spool.hpp"
#include "template.hpp"

namespace heddle::tool {

// What the law of `heddle map -j auto` chose while the commands ran.
struct chosen_size {
  int size = 1;           // for the longer part of the second half of the time
  double throughput = 0;  // tasks a second in that half
  std::string reason{};   // of the last change
};

// Runs a command over inputs, so many at once. In each of the places a task begins as soon as the
// one before it has ended; inputs are used again and again.
class command_workload final : private slot_owner, private interruptible, private sizing_listener {
 public:
  // Reads all inputs, up to a number beyond which more would not tell anything new.
  // Throws run_error, usage_error, std::system_error.
  command_workload(profile_stage& stage, const profile_options& options);
  ~command_workload();

  // The command, readable.
  std::string name() const;

  // Keeps `size` tasks going for some `length`, and in each place at least one. Gives up at the
  // stage's deadline, unless nothing has been measured yet. Throws run_error when the command
  // cannot be run at all.
  batch run(int size, std::chrono::nanoseconds length);

  // Lets the law choose, from 1 to `most`. Nothing when that was interrupted. Throws as run().
  std::optional<chosen_size> run_adaptive(int most, std::chrono::nanoseconds length);

 private:
  using clock = profile_stage::clock;

  // One of the places in which tasks follow each other.
  struct place {
    job_slot slot;
    clock::time_point launched{};  // its task
    std::string complaint{};       // the beginning of what that wrote to standard error

    // Of slow tasks: when the first one was launched and the last one ended.
    clock::time_point began{};
    clock::time_point ended{};

    place(process::event_loop& loop, output_store& store, std::span<char> buffer, slot_owner& owner)
        : slot(loop, store, buffer, owner) {}
  };

  // What tasks did, as far as they belong to the time that is measured.
  struct tally {
    double tasks = 0;
    double in_tasks = 0;  // seconds, like the next one
    double cpu = 0;
    double voluntary_switches = 0;
    std::optional<double> runnable{};  // seconds
  };

  void before_reap(job_slot& slot) noexcept override;
  void on_output(job_slot& slot, stream which, std::string_view bytes) noexcept override;
  void on_job_end(job_slot& slot) noexcept override;
  void interrupt(bool again) noexcept override;
  void suspend() noexcept override;
  void proceed(std::chrono::nanoseconds after) noexcept override;

  void on_choice(const sizing::logged_choice&) noexcept override {}
  void on_more_slots() noexcept override { fill_places(); }
  void on_blindness() noexcept override {}

  void begin(int places, std::chrono::nanoseconds length);
  void make_places(int count);
  // Starts what has not begun yet, in turns with other events.
  void fill_places() noexcept;
  place* next_place() noexcept;
  void launch(place& p) noexcept;
  void abandon(bool kill) noexcept;
  void count(place& p, clock::time_point now);
  void fail(std::string why) noexcept;
  bool is_done() const noexcept;
  void end_if_done() noexcept;
  void open_window(clock::time_point now);
  void read_meter(clock::time_point now);
  bool flow_goes_on(clock::time_point now) const noexcept;
  sizing::measurement measured() const;

  profile_stage& stage_;
  const profile_options& options_;
  std::vector<std::vector<std::string>> inputs_;
  command_template template_;
  output_store store_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<place>> places_;
  std::optional<std::uint64_t> jobs_descriptor_limit_;  // where ours is not theirs

  process::timer fill_;

  std::unique_ptr<adaptive_slots> law_;  // chooses the number of places; null while that is given
  std::optional<job_meter> meter_;       // of a run with a given number
  std::uint64_t sequence_ = 0;
  std::size_t target_ = 0;  // places in use
  std::size_t begun_ = 0;   // of these
  std::size_t running_ = 0;
  std::optional<double> shortest_task_;  // seconds, the least mean of a run
  bool is_slow_ = true;                  // tasks are counted whole, each place by its own clock
  clock::duration length_{};
  clock::duration passed_in_tasks_{};  // in this run, from launch to end
  clock::time_point opens_{};          // the window that is measured; max() until it is known
  clock::time_point closes_{};
  bool abandoned_ = false;
  std::string trouble_;          // why the work cannot go on; "" while all is well
  clock::time_point read_at_{};  // the meter, for the first time
  job_times read_;               // then
  bool is_closed_ = false;       // the meter was read at the end, too
  tally tally_;
  batch batch_;
};

}  // namespace heddle::tool
