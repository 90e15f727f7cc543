// What one run of sizing_run told, and how well the contender did.
#pragma once

#include <optional>
#include <string>
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
  std::string remark;

  double work_between(double begin, double end) const;
  // Tasks per second in stretches of this kind, without the first `skipped` seconds of each.
  double rate(const std::string& kind, double skipped) const;
};

// Starts BIN_DIR/sizing/sizing_run and waits for it. Throws std::runtime_error when it fails.
outcome carry_out(const order& what, const std::string& bin, double turns_per_microsecond);

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
