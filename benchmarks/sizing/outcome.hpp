// What one run of sizing_run told, and how well the contender did.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

// How to run it.
struct order {
  std::string load;
  std::string contender;
  double seconds = 0;
  double warm_up = 0;
  double phase_seconds = 0;  // 0: as the load says
};

struct size_step {
  double at = 0;
  int size = 0;
  std::string cause;
};

// A stretch of time in which the load stayed the same.
struct stretch {
  double begin = 0;
  double end = 0;
  std::string kind;
};

struct outcome {
  order what;
  double bucket_seconds = 0;
  std::vector<double> completed;  // tasks, by bucket
  std::vector<stretch> stretches;
  std::vector<size_step> sizes;  // empty for sizes that stay
  double task_p99 = 0;           // microseconds
  double task_mean = 0;
  double cpu_seconds = 0;
  double controller_seconds = 0;
  double foreign_cores = 0;
  std::string remark;

  double work_between(double begin, double end) const;
  // Tasks per second in stretches of this kind, without the first `skipped` seconds of each.
  double rate(const std::string& kind, double skipped) const;
};

// Starts sizing_run and waits for it, again and again until no other program has disturbed it.
class laboratory {
 public:
  laboratory(std::string bin, int patience) : bin_(std::move(bin)), patience_(patience) {}

  void set_turns_per_microsecond(double turns) { turns_ = turns; }

  // The run that was disturbed least, of `patience` at most. Throws std::runtime_error when
  // sizing_run fails.
  outcome carry_out(const order& what);

  int runs() const { return runs_; }
  // Of them: for all the patience, others used more of the CPUs than they should.
  int disturbed() const { return disturbed_; }

 private:
  outcome carry_out_once(const order& what) const;

  std::string bin_;
  int patience_;
  double turns_ = 0;
  int runs_ = 0;
  int disturbed_ = 0;
};

// What the best fixed sizes reach: tasks per second in each kind of stretch.
struct pace {
  std::string kind;
  double rate = 0;
};
double work_of_oracle(const std::vector<pace>& oracle, const outcome& run, double begin,
                      double end);

// Throughput after warm_up over that of the oracle.
double share_of_oracle(const std::vector<pace>& oracle, const outcome& run);

// From the beginning of a stretch until the throughput of a second on is 0.95 of the oracle's; the
// median of the stretches, nothing for those in which it never was.
std::optional<double> seconds_to_reach(const std::vector<pace>& oracle, const outcome& run);

// Changes of size a minute, from `begin` to the end.
double steps_a_minute(const outcome& run, double begin);

}  // namespace bench
