// A pool, its machine and its load, simulated in virtual time, for laws to be tried on. Threads get
// the cores in slices, whoever had least of them first; tasks compute, sleep, hold the one lock, or
// wait for a server of few places.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <random>
#include <vector>

#include <heddle/sizing/law.hpp>

namespace heddle_test {

struct stage {
  enum class kind { compute, sleep, hold_lock, ask_server };
  kind what;
  double seconds;
};
using task_plan = std::vector<stage>;

struct simulated_load {
  // The stages of the next task, at this moment.
  std::function<task_plan(std::mt19937_64&, double now)> next_task;
  double arrivals_a_second = 0;  // 0: there is always another task
  int server_places = 1;
  std::function<double(double)> cores = [](double) { return 2.0; };
  std::function<int(double)> neighbours = [](double) { return 0; };  // spinning threads of others
  // How fast a core computes while so many of ours do.
  std::function<double(int)> pace = [](int) { return 1.0; };
  double switch_cost = 3e-6;
  bool tells_runnable = true;
  bool tells_foreign = true;
};

class simulated_pool {
 public:
  explicit simulated_pool(const simulated_load& load, std::uint64_t seed = 1)
      : load_(load), random_(seed) {
    if (load.arrivals_a_second > 0) next_arrival_ = between_arrivals();
  }

  void set_size(int size) {
    size_ = size;
    while (busy_ < size_ && take_task()) {
    }
  }
  int size() const { return size_; }
  double now() const { return now_; }
  std::uint64_t completed() const { return completed_; }

  // Lets `seconds` pass and tells what happened.
  heddle::sizing::window run(double seconds) {
    const double begin = now_;
    const double end = now_ + seconds;
    integrals_ = {};
    const std::uint64_t completed_before = completed_;
    std::uint64_t fewest_queued = queued();
    while (now_ < end) step_until(end);
    fewest_queued = std::min(fewest_queued, queued());

    heddle::sizing::window w;
    w.end = nanoseconds(now_);
    w.length = nanoseconds(now_ - begin);
    w.cores = load_.cores(now_);
    w.size = size_;
    std::normal_distribution<double> error(1, 0.01);
    w.busy = integrals_.busy / seconds;
    w.computing = std::min(w.busy, integrals_.computing / seconds * error(random_));
    w.runnable = load_.tells_runnable ? std::min(w.busy - w.computing,
                                                 integrals_.runnable / seconds * error(random_))
                                      : 0;
    w.knows_runnable = load_.tells_runnable;
    w.completed = completed_ - completed_before;
    w.queued = fewest_queued;
    w.voluntary_switches = integrals_.switches;
    w.knows_switches = true;
    w.knows_foreign = load_.tells_foreign;
    w.foreign = load_.tells_foreign ? integrals_.foreign / seconds : 0;
    return w;
  }

 private:
  static constexpr double slice = 3e-3;

  struct worker {
    task_plan plan{};
    std::size_t at = 0;
    double left = 0;     // of the stage, in seconds of a core
    double share = 0;    // of the cores that it has had
    bool spins = false;  // not ours
  };
  // A core, and who computes on it until when.
  struct core {
    int who = -1;
    double until = 0;
    double since = 0;
    double pace = 1;
  };
  struct event {
    double when;
    int who;
    bool operator>(const event& other) const { return when > other.when; }
  };
  using events = std::priority_queue<event, std::vector<event>, std::greater<>>;

  static std::chrono::nanoseconds nanoseconds(double seconds) {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  }
  double between_arrivals() {
    return std::exponential_distribution<double>(load_.arrivals_a_second)(random_);
  }
  std::uint64_t queued() const { return load_.arrivals_a_second > 0 ? waiting_ : 1000; }

  void step_until(double end) {
    follow_machine();
    fill_cores();
    double next = std::min(end, now_ + 2e-3);  // what depends on the time is looked at often enough
    if (!sleeping_.empty()) next = std::min(next, sleeping_.top().when);
    if (load_.arrivals_a_second > 0) next = std::min(next, next_arrival_);
    for (const core& c : cores_) {
      if (c.who >= 0) next = std::min(next, c.until);
    }
    next = std::max(next, now_);
    account(next - now_);
    now_ = next;
    for (core& c : cores_) {
      if (c.who >= 0 && c.until <= now_ + 1e-12) leave_core(c);
    }
    while (!sleeping_.empty() && sleeping_.top().when <= now_) {
      const int who = sleeping_.top().who;
      sleeping_.pop();
      end_stage(who);
    }
    while (load_.arrivals_a_second > 0 && next_arrival_ <= now_) {
      ++waiting_;
      next_arrival_ += between_arrivals();
      if (busy_ < size_) take_task();
    }
  }

  // A fraction of a core is a core that is slower.
  void follow_machine() {
    const double cores = load_.cores(now_);
    const auto count = static_cast<std::size_t>(std::ceil(cores - 1e-9));
    speed_ = cores / static_cast<double>(count);
    while (cores_.size() > count) {
      if (cores_.back().who >= 0) leave_core(cores_.back());
      cores_.pop_back();
    }
    cores_.resize(count);
    while (spinning_ < load_.neighbours(now_)) {
      ++spinning_;
      const int who = new_worker();
      workers_[static_cast<std::size_t>(who)].spins = true;
      want_core(who, 1e9);
    }
    stop_spinning_ = spinning_ - load_.neighbours(now_);
  }

  void fill_cores() {
    for (core& c : cores_) {
      while (c.who < 0 && !runnable_.empty()) {
        const int who = runnable_.top().who;
        runnable_.pop();
        worker& w = workers_[static_cast<std::size_t>(who)];
        if (w.spins && stop_spinning_ > 0) {
          --stop_spinning_;
          --spinning_;
          w.spins = false;
          free_.push_back(who);
          continue;
        }
        if (!w.spins) --ours_waiting_;
        least_share_ = std::max(least_share_, w.share);
        const double pace = speed_ * load_.pace(ours_running() + (w.spins ? 0 : 1));
        c = {who, now_ + std::min(slice, w.left / pace), now_, pace};
      }
    }
  }

  int ours_running() const {
    int count = 0;
    for (const core& c : cores_) {
      if (c.who >= 0 && !workers_[static_cast<std::size_t>(c.who)].spins) ++count;
    }
    return count;
  }

  void leave_core(core& c) {
    const int who = c.who;
    worker& w = workers_[static_cast<std::size_t>(who)];
    const double ran = now_ - c.since;
    w.share += ran;
    w.left -= ran * c.pace;
    c.who = -1;
    if (w.left > 1e-9) {
      put_in_line(who);
    } else {
      end_stage(who);
    }
  }

  void want_core(int who, double seconds) {
    worker& w = workers_[static_cast<std::size_t>(who)];
    w.left = seconds;
    // Who slept comes early, but has not saved up.
    w.share = std::max(w.share, least_share_ - slice);
    put_in_line(who);
  }
  void put_in_line(int who) {
    const worker& w = workers_[static_cast<std::size_t>(who)];
    if (!w.spins) ++ours_waiting_;
    runnable_.push({w.share, who});
  }

  void account(double seconds) {
    const double ours = ours_running() * speed_;
    int others = 0;
    for (const core& c : cores_) others += c.who >= 0 ? 1 : 0;
    integrals_.busy += busy_ * seconds;
    integrals_.computing += ours * seconds;
    integrals_.runnable += (ours_waiting_ + ours_running() * (1 - speed_)) * seconds;
    integrals_.foreign += (others - ours_running()) * speed_ * seconds;
  }

  int new_worker() {
    if (free_.empty()) {
      workers_.emplace_back();
      return static_cast<int>(workers_.size()) - 1;
    }
    const int who = free_.back();
    free_.pop_back();
    return who;
  }

  bool take_task() {
    if (load_.arrivals_a_second > 0) {
      if (waiting_ == 0) return false;
      --waiting_;
    }
    const int who = new_worker();
    ++busy_;
    worker& w = workers_[static_cast<std::size_t>(who)];
    w.plan = load_.next_task(random_, now_);
    w.at = 0;
    begin_stage(who, 0);
    return true;
  }

  void begin_stage(int who, double more) {
    worker& w = workers_[static_cast<std::size_t>(who)];
    if (w.at == w.plan.size()) return end_task(who);
    const stage s = w.plan[w.at];
    switch (s.what) {
      case stage::kind::compute:
        want_core(who, s.seconds + more);
        return;
      case stage::kind::sleep:
        ++integrals_.switches;
        sleeping_.push({now_ + s.seconds, who});
        return;
      case stage::kind::hold_lock:
        if (locked_) {
          ++integrals_.switches;
          lock_queue_.push_back(who);
          return;
        }
        locked_ = true;
        want_core(who, s.seconds + more);
        return;
      case stage::kind::ask_server:
        ++integrals_.switches;
        if (served_ == load_.server_places) {
          server_queue_.push_back(who);
          return;
        }
        ++served_;
        sleeping_.push({now_ + s.seconds, who});
        return;
    }
  }

  void end_stage(int who) {
    worker& w = workers_[static_cast<std::size_t>(who)];
    const stage s = w.plan[w.at++];
    const bool slept = s.what == stage::kind::sleep || s.what == stage::kind::ask_server;
    if (s.what == stage::kind::hold_lock) {
      locked_ = false;
      if (!lock_queue_.empty()) {
        const int heir = lock_queue_.front();
        lock_queue_.pop_front();
        locked_ = true;
        const worker& h = workers_[static_cast<std::size_t>(heir)];
        want_core(heir, h.plan[h.at].seconds + load_.switch_cost);
      }
    }
    if (s.what == stage::kind::ask_server) {
      --served_;
      if (!server_queue_.empty()) {
        const int heir = server_queue_.front();
        server_queue_.pop_front();
        ++served_;
        const worker& h = workers_[static_cast<std::size_t>(heir)];
        sleeping_.push({now_ + h.plan[h.at].seconds, heir});
      }
    }
    begin_stage(who, slept ? load_.switch_cost : 0);
  }

  void end_task(int who) {
    ++completed_;
    --busy_;
    free_.push_back(who);
    if (busy_ < size_) take_task();
  }

  const simulated_load& load_;
  std::mt19937_64 random_;
  int size_ = 0;
  int busy_ = 0;
  double now_ = 0;
  double next_arrival_ = 0;
  std::uint64_t waiting_ = 0;
  std::uint64_t completed_ = 0;
  std::vector<worker> workers_;
  std::vector<int> free_;
  std::vector<core> cores_;
  events runnable_;  // by share
  events sleeping_;  // by now_
  double speed_ = 1;
  double least_share_ = 0;
  int ours_waiting_ = 0;
  int spinning_ = 0;
  int stop_spinning_ = 0;
  bool locked_ = false;
  std::deque<int> lock_queue_;
  int served_ = 0;
  std::deque<int> server_queue_;
  struct {
    double busy = 0, computing = 0, runnable = 0, foreign = 0;
    std::uint64_t switches = 0;
  } integrals_;
};

// What became of a load under a law.
struct simulated_run {
  struct point {
    double end;
    int size;
    double rate;
    std::string reason;
    heddle::sizing::cause why;
  };
  std::vector<point> points;

  double rate(double from, double to) const {
    double tasks = 0;
    double time = 0;
    double begin = 0;
    for (const point& p : points) {
      const double overlap = std::min(p.end, to) - std::max(begin, from);
      if (overlap > 0) {
        tasks += p.rate * overlap;
        time += overlap;
      }
      begin = p.end;
    }
    return tasks / time;
  }
  int steps(double from, double to) const {
    int count = 0;
    int before = 0;
    for (const point& p : points) {
      if (p.end > from && p.end <= to && before != 0 && p.size != before) ++count;
      before = p.size;
    }
    return count;
  }
  int largest() const {
    int most = 0;
    for (const point& p : points) most = std::max(most, p.size);
    return most;
  }
  int last_size() const { return points.back().size; }
};

inline simulated_run run_law(const simulated_load& load, heddle::sizing::law& law, double seconds,
                             int least = 1, int most = 1024, std::uint64_t seed = 1) {
  simulated_pool pool(load, seed);
  heddle::sizing::choice c = law.first(load.cores(0), least, most);
  simulated_run run;
  pool.set_size(c.size);
  while (pool.now() < seconds) {
    const double length = std::chrono::duration<double>(c.look_again).count();
    heddle::sizing::window w = pool.run(length);
    w.least = least;
    w.most = most;
    const int size = pool.size();
    c = law.next(w);
    run.points.push_back(
        {pool.now(), size, static_cast<double>(w.completed) / length, c.reason, c.why});
    if (c.size != pool.size()) pool.set_size(c.size);
  }
  return run;
}

inline double fixed_rate(const simulated_load& load, int size, double from, double to,
                         std::uint64_t seed = 1) {
  simulated_pool pool(load, seed);
  pool.set_size(size);
  pool.run(from);
  const std::uint64_t before = pool.completed();
  pool.run(to - from);
  return static_cast<double>(pool.completed() - before) / (to - from);
}

struct best_size {
  int size;
  double rate;
};
inline best_size best_fixed(const simulated_load& load, double from, double to, int most = 1024) {
  best_size best{1, 0};
  for (int size = 1; size <= most; size = std::max(size + 1, size * 5 / 4)) {
    const double rate = fixed_rate(load, size, from, to);
    if (rate > best.rate * 1.002) best = {size, rate};
  }
  return best;
}

}  // namespace heddle_test
