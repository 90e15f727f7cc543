// The law of docs/guide/how-the-pool-decides.md. In short:
//
// The kernel says how many workers compute, how many could but have no core, and how many sleep.
// When work waits, cores lie idle and workers sleep, more workers are worth as many times more as
// the cores could bear (idle_cores). When workers of ours crowd out each other, fewer are enough
// (crowded_cores). Everything else is tried out and kept when it pays: whether growth brought
// anything (saturation), whether there are too many for a lock, whether a neighbour on the same
// cores leaves more to more workers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

#include <heddle/sizing/law.hpp>

#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Cores that are so full need no more workers.
constexpr double full = 0.98;
// Growth is at most so much at once: from a guess, when tasks were seen from begin to end, and
// where it failed before.
constexpr double largest_blind_step = 4;  // for as long as there are few workers
constexpr double few_a_core = 4;
constexpr double later_blind_step = 2;
constexpr double largest_step = 16;
constexpr double largest_second_step = 2;
// The share of an added worker that must show in the throughput, 1 being a whole worker's work.
constexpr double least_yield = 0.25;
constexpr double least_blind_yield = 0.10;  // where the throughput before is hardly known
constexpr double least_trial_yield = 0.10;
// With no more to be gained than that, growth is given so many steps.
constexpr double little_room = 0.08;
constexpr int most_last_steps = 4;

// How much more of something a task must take to be named as a reason.
constexpr double clearly = 1.25;

constexpr nanoseconds short_window = 20ms;
constexpr nanoseconds rest_window = 50ms;
constexpr nanoseconds longest_task = 10s;  // for which anything is waited for
// Nothing that failed is tried again before, if the load stays the same; then after four times
// as long, and so on.
constexpr nanoseconds first_pause = 10s;
constexpr nanoseconds longest_pause = 240s;

double seconds(nanoseconds t) { return std::chrono::duration<double>(t).count(); }

nanoseconds from_seconds(double s) {
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(s));
}

double times(double now, double before) { return before > 0 ? now / before : 1; }

int rounded_up(double workers) { return static_cast<int>(std::ceil(workers - 1e-6)); }

// Windows added up.
struct tally {
  nanoseconds time{};
  double busy = 0, computing = 0, runnable = 0, foreign = 0;  // in worker-seconds
  double completed = 0;
  double switches = 0;

  void add(const window& w) {
    const double s = seconds(w.length);
    time += w.length;
    busy += w.busy * s;
    computing += w.computing * s;
    runnable += w.runnable * s;
    foreign += w.foreign * s;
    completed += static_cast<double>(w.completed);
    switches += static_cast<double>(w.voluntary_switches);
  }

  void add(const tally& t) {
    time += t.time;
    busy += t.busy;
    computing += t.computing;
    runnable += t.runnable;
    foreign += t.foreign;
    completed += t.completed;
    switches += t.switches;
  }
  // What is older than some multiple of `memory` counts for less and less.
  void forget_beyond(nanoseconds memory) {
    if (time < 2 * memory) return;
    time /= 2;
    for (double* part : {&busy, &computing, &runnable, &foreign, &completed, &switches}) *part /= 2;
  }

  bool empty() const { return time == nanoseconds{}; }
  double mean(double total) const { return empty() ? 0 : total / seconds(time); }
  double rate() const { return mean(completed); }
  double working() const { return mean(computing); }
  double waiting_for_core() const { return mean(runnable); }
  double asleep() const { return std::max(0.0, mean(busy - computing - runnable)); }
  double of_others() const { return mean(foreign); }
  // Little's law: so long a task is with its worker.
  double task_seconds() const { return completed > 0 ? busy / completed : 0; }
  double a_task(double total) const { return completed > 0 ? total / completed : 0; }
};

// Throughput at a size in the latest windows, to tell a difference from noise.
class rate_sample {
 public:
  void add(const window& w) {
    rates_[next_] = static_cast<double>(w.completed) / seconds(w.length);
    next_ = (next_ + 1) % most;
    count_ = std::min(count_ + 1, most);
  }
  std::size_t count() const { return count_; }
  bool full() const { return count_ == most; }
  double mean() const {
    double sum = 0;
    for (std::size_t i = 0; i < count_; ++i) sum += rates_[i];
    return count_ == 0 ? 0 : sum / static_cast<double>(count_);
  }
  // Squared standard error of the mean, relative to the mean.
  double relative_variance() const {
    const double m = mean();
    if (count_ < 2 || m <= 0) return 1;
    double squares = 0;
    for (std::size_t i = 0; i < count_; ++i) squares += (rates_[i] - m) * (rates_[i] - m);
    const auto n = static_cast<double>(count_);
    return squares / (n - 1) / n / (m * m);
  }

 private:
  static constexpr std::size_t most = 16;
  std::array<double, most> rates_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

std::string text(const char* format, double a, double b = 0, double c = 0) {
  char line[200];
  const int length = std::snprintf(line, sizeof line, format, a, b, c);
  return {line, static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(sizeof line) - 1))};
}

class adaptive_law final : public law {
 public:
  choice first(double cores, int least, int most) override {
    size_ = std::clamp(rounded_up(cores), least, most);
    cores_ = cores;
    return {size_, cause::start, text("one worker for each usable core: %.3g", cores),
            short_window};
  }

  choice next(const window& now) override {
    now_ = now.end;
    if (now.size != size_) begin_size(now.size);  // the pool could not follow
    if (now.size < now.least || now.size > now.most) return keep_bounds(now);
    follow_cores(now.cores);
    watch_load(now);
    watch_pace(now);
    add(now);

    const bool saturated = now.queued > 0 && now.busy >= full * now.size - 0.05;
    if (trial_) {
      if (saturated) return go_on_with_trial(now);
      trial_.reset();
    }
    if (auto c = shrink(now)) return *c;
    if (!saturated) {
      // What the application, and not the pool, limits teaches nothing.
      seen_ = {};
      rates_ = {};
      return stay(now_ - begun_ > 200ms ? rest_window : short_window);
    }
    seen_.add(now);
    seen_.forget_beyond(std::max<nanoseconds>(300ms, 4 * time_scale()));
    note_silence(now);
    if (settled()) rates_.add(now);
    if (auto c = grow(now)) return *c;
    const bool at_rest = now_ - std::max(begun_, unrest_) > 500ms && !step_ && odd_pace_ == 0;
    return stay(at_rest ? rest_window : short_window);
  }

 private:
  // A size that is tried, and what was there before.
  struct trial {
    int before;
    rate_sample rates_before;
    double bar;  // the gain that makes it pay
  };

  // A step up for idle cores, until it has been seen whether it paid.
  struct step {
    int before;
    double rate_before;
    double working_before;
    bool known;  // the rate before was measured for long enough
    double completed;
    double cpu, sleep, switches;  // of a task, before; CPU time and sleep in seconds
  };

  struct load_kind {
    double cpu, sleep;  // seconds a task
  };

  choice stay(nanoseconds look_again) { return {size_, cause::nothing_new, {}, look_again}; }

  choice change(const window& now, int size, cause why, std::string reason) {
    size = std::clamp(size, now.least, now.most);
    if (size == size_) return stay(short_window);
    begin_size(size);
    return {size, why, std::move(reason), short_window};
  }

  void begin_size(int size) {
    size_ = size;
    begun_ = now_;
    all_ = seen_ = {};
    rates_ = {};
    kind_ = {};
    if (reference_) reference_->cpu = reference_->sleep = -1;  // they may depend on the size
    odd_windows_ = 0;
  }

  choice keep_bounds(const window& now) {
    trial_.reset();
    step_.reset();
    return change(
        now, now.size, cause::bounds,
        text("no fewer than %.0f and no more than %.0f are allowed now", now.least, now.most));
  }

  void add(const window& now) {
    all_.add(now);
    all_.forget_beyond(std::max<nanoseconds>(100ms, 2 * time_scale()));
    if (now.knows_switches && now.voluntary_switches > 0 && all_.switches >= 5) {
      sleep_seconds_ = all_.asleep() * seconds(all_.time) / all_.switches;
    }
    if (seen_.completed >= size_) task_seconds_ = seen_.task_seconds();
  }

  // How long to look before what is seen is typical: as long as a task takes (Little's law), as
  // its sleeps take, and as no task at all ended.
  nanoseconds time_scale() const {
    const double known = std::max(task_seconds_, sleep_seconds_);
    return std::clamp(std::max({from_seconds(known), silence_, longest_silence_}), nanoseconds{},
                      longest_task);
  }
  void note_silence(const window& now) {
    if (now.completed == 0) {
      silence_ += now.length;
      return;
    }
    if (silence_ > short_window) longest_silence_ = std::max(longest_silence_, silence_);
    silence_ = {};
  }

  // The workers of this size have had time for a task each.
  bool settled() const {
    return now_ - begun_ >= std::max<nanoseconds>(short_window, time_scale() * 11 / 10);
  }

  void follow_cores(double cores) {
    const bool changed = std::abs(cores - cores_) > 0.05 * cores_;
    cores_ = cores;
    if (changed) forget_load();
  }

  // Forgets what was learnt when tasks have become others.
  void watch_load(const window& now) {
    if (now.completed == 0) {
      if (task_seconds_ > 0 && silence_ > from_seconds(5 * task_seconds_) + short_window) {
        forget_load();
      }
      return;
    }
    if (now.busy > 1.05 * size_) crowded_until_ = now_;  // some have still to leave
    if (!settled() || crowded_until_ == now_) {
      kind_ = {};  // begun tasks and ended ones do not yet match
      return;
    }
    kind_.add(now);
    if (kind_.completed < std::max(10.0, size_ / 2.0)) return;
    const double cpu = kind_.computing / kind_.completed;
    const double sleep = kind_.asleep() * seconds(kind_.time) / kind_.completed;
    kind_ = {};
    if (!reference_) {
      reference_ = {cpu, sleep};
      return;
    }
    load_kind& r = *reference_;
    if (r.cpu < 0) r.cpu = cpu;
    const auto steady = now_ - std::max(begun_, crowded_until_);
    if (r.sleep < 0 && !step_ && steady > 300ms + 2 * time_scale()) r.sleep = sleep;
    const auto differs = [](double a, double b) {
      return std::max(a, b) > 20e-6 && (a > 2.5 * b || b > 2.5 * a);
    };
    const bool other =
        differs(cpu, r.cpu) || (r.sleep >= 0 && !trial_ && differs(sleep + cpu, r.sleep + r.cpu));
    odd_windows_ = other ? odd_windows_ + 1 : 0;
    if (odd_windows_ >= 2) return forget_load();
    if (other) return;
    r.cpu += 0.1 * (cpu - r.cpu);
    if (r.sleep >= 0) r.sleep += 0.1 * (sleep - r.sleep);
  }

  // What was seen does not count any more when the cores are used quite otherwise than before.
  void watch_pace(const window& now) {
    const bool other =
        all_.time >= 3 * short_window && std::abs(now.computing - all_.working()) > 0.3 * cores_;
    odd_pace_ = other ? odd_pace_ + 1 : 0;
    if (odd_pace_ < 2) return;
    odd_pace_ = 0;
    unrest_ = now_;
    all_ = seen_ = {};
    rates_ = {};
    step_.reset();
    if (!trial_) no_trial_before_ = std::min(no_trial_before_, now_ + 200ms);
  }

  void forget_load() {
    reference_.reset();
    odd_windows_ = 0;
    ceiling_.reset();
    idle_at_.reset();
    step_.reset();
    grown_from_.reset();
    rate_before_fall_.reset();
    try_fewer_ = false;
    fewer_is_better_ = crowding_pays_ = false;
    no_trial_before_ = {};
    pause_ = first_pause;
    all_ = seen_ = {};
    rates_ = {};
    task_seconds_ = sleep_seconds_ = 0;
    longest_silence_ = {};
    blind_steps_ = unknown_steps_ = last_steps_ = 0;
  }

  // Too many of ours want the cores, and the cores are ours.
  std::optional<choice> shrink(const window& now) {
    if (!now.knows_runnable || size_ <= rounded_up(cores_)) return std::nullopt;
    if (now.busy > 1.05 * size_) return std::nullopt;  // some have still to leave
    if (all_.time <
        std::max<nanoseconds>(40ms, std::min<nanoseconds>(time_scale() * 11 / 10, 2s))) {
      return std::nullopt;
    }
    // Tasks that began together may want the cores together, and then sleep again.
    if (all_.completed < size_ / 2.0 && now_ - begun_ < 2s) return std::nullopt;
    const double working = all_.working();
    const double crowd = all_.waiting_for_core();
    const double asleep = all_.asleep();
    if (working < (crowding_pays_ ? full : 0.9) * cores_) return std::nullopt;
    if (crowding_pays_ && now.knows_foreign && now.foreign > 0.1 * cores_) return std::nullopt;
    // The number of those awake varies about its mean as the root of the number of sleepers does;
    // what varies is no crowd.
    const bool sleeps = asleep > 0.05 * working;
    const double usual = sleeps ? cores_ + 2 * std::sqrt(asleep) : 0;
    const double too_many = sleeps ? 2 * usual + cores_ : 0.5 * cores_;
    if (crowd <= too_many) return std::nullopt;
    const double wanted = std::max(asleep + cores_ + usual, size_ / 4.0);
    int size = std::max(rounded_up(cores_), rounded_up(wanted));
    if (idle_at_ && asleep > 0.5 * idle_at_->asleep) {
      size = std::max(size, rounded_up(1.1 * idle_at_->size));
    }
    if (size > 0.9 * size_ && (sleeps || size_ == size)) return std::nullopt;
    if (size >= size_) return std::nullopt;
    std::string reason = text("%.1f workers wait for a core while %.1f sleep, with %.3g of ", crowd,
                              asleep, working) +
                         detail::count(cores_, "core") + " in use";
    // Tasks under way count for nothing if there are few of them beside those that have ended.
    if (grown_from_ && grown_from_->completed >= 10 && all_.completed >= 4 * size_) {
      if (const auto waste = slower_work(all_, *grown_from_)) reason += "; " + *waste;
    }
    step_.reset();
    grown_from_.reset();
    crowding_pays_ = false;
    return change(now, size, cause::crowded_cores, std::move(reason));
  }

  std::optional<choice> grow(const window& now) {
    if (size_ < rounded_up(cores_) && !fewer_is_better_) {
      return change(now, rounded_up(cores_), cause::core_count,
                    text("one worker for each usable core: %.3g", cores_));
    }
    const bool typical = settled() && seen_.completed >= size_ / 2.0 && seen_.time >= short_window;
    if (!typical) return grow_blindly(now);
    if (step_) {
      if (auto c = judge_step(now)) return c;
    }
    if (rate_before_fall_) {
      if (seen_.completed < std::max(8, size_)) return stay(short_window);
      const bool others = seen_.rate() < 0.5 * *rate_before_fall_;
      rate_before_fall_.reset();
      if (others) {
        forget_load();
        return stay(short_window);
      }
    }
    if (try_fewer_ && now_ >= try_fewer_after_) {
      if (rates_.count() < 4) return stay(short_window);
      try_fewer_ = false;
      // Few workers may be slower for it; many may be had for nothing.
      return begin_trial(now, size_ / 2, size_ <= 2 * cores_ ? 0.03 : -0.02,
                         "more workers brought nothing, so fewer may do as well");
    }
    const double working = seen_.working();
    if (working > full * cores_) return std::nullopt;
    if (seen_.asleep() < 0.03 * std::max<double>(cores_, size_)) return contended(now);
    // The kernel's account of others is coarse: it takes a while to tell.
    const double error = 0.01 * cores_ / seconds(seen_.time);
    const double others = now.knows_foreign ? seen_.of_others() : 0;
    const bool alone = others < error;
    const double left = alone ? cores_ : std::max(0.1 * cores_, cores_ - (others - error));
    if (working + seen_.waiting_for_core() > full * left) {
      // Those awake come in crowds, or others have the cores.
      if (!now.knows_foreign) return contended(now);
      if (!alone && working + others + error > full * cores_) {
        return seen_.time < 200ms ? std::nullopt : contended(now);
      }
    }
    if (ceiling_ && size_ >= *ceiling_ && now_ < no_trial_before_) return std::nullopt;
    if (odd_pace_ > 0 || (unknown_steps_ >= 3 && !is_baseline(seen_))) return stay(short_window);
    idle_at_ = idle_size{size_, seen_.asleep()};
    // What has failed before is tried again with more care.
    const double largest = ceiling_ && size_ >= *ceiling_ ? largest_second_step : largest_step;
    const double factor = std::min(largest, left / std::max(working, 1e-3));
    // Cores that were nearly full before lie idle for a moment only, unless it lasts.
    const bool was_full = grown_from_ && grown_from_->working_before > 0.85 * cores_;
    if (was_full && factor > 1.2 && seen_.time < 200ms) return stay(short_window);
    return step_up(now, factor, seen_);
  }

  // No task has been seen from its begin to its end, so that it may yet turn out to compute.
  std::optional<choice> grow_blindly(const window& now) {
    nanoseconds patience = short_window * (1 << std::min(2 * blind_steps_, 16));
    if (size_ <= few_a_core * cores_) patience = std::min<nanoseconds>(patience, 2 * short_window);
    if (task_seconds_ > 0) patience = std::max(patience, 2 * time_scale());
    if (now_ - begun_ < patience || seen_.time < short_window) return std::nullopt;
    if (seen_.working() + seen_.waiting_for_core() > 0.5 * cores_) return std::nullopt;
    if (ceiling_ && size_ >= *ceiling_ && now_ < no_trial_before_) return std::nullopt;
    const double factor =
        std::min(size_ <= few_a_core * cores_ ? largest_blind_step : later_blind_step,
                 cores_ / std::max(seen_.working(), 1e-3));
    const int steps = blind_steps_ + 1;
    auto c = step_up(now, factor, seen_);
    blind_steps_ = steps;
    return c;
  }

  choice step_up(const window& now, double factor, const tally& seen) {
    const int size = std::clamp(std::max(size_ + 1, rounded_up(size_ * std::max(factor, 1.1))),
                                now.least, now.most);
    if (size == size_) return stay(rest_window);
    blind_steps_ = 0;
    const double working = seen.working();
    const double asleep = seen.asleep();
    const bool known = is_baseline(seen);
    unknown_steps_ = known ? 0 : unknown_steps_ + 1;
    // Small steps are judged together.
    if (!step_ || !known) {
      step_ = step{size_,
                   seen.rate(),
                   working,
                   known,
                   seen.completed,
                   seen.a_task(seen.computing),
                   seen.a_task(asleep * seconds(seen.time)),
                   seen.a_task(seen.switches)};
      grown_from_ = step_;
    }
    return change(now, size, cause::idle_cores,
                  text("work waits, and %.1f workers sleep with %.3g of ", asleep, working) +
                      detail::count(cores_, "core") + " in use");
  }

  // Enough to compare with what comes.
  bool is_baseline(const tally& t) const {
    const bool sleeps_are_known = t.asleep() < 0.05 * cores_ || all_.switches >= 10;
    return t.time >=
               std::max<nanoseconds>(sleeps_are_known ? short_window : 100ms, 2 * time_scale()) &&
           t.completed >= std::max(20, size_);
  }

  // Whether the last steps up brought anything.
  std::optional<choice> judge_step(const window& now) {
    const step s = *step_;
    const double grown = static_cast<double>(size_) / s.before - 1;
    const double rate_gain = seen_.rate() / std::max(s.rate_before, 1e-9) - 1;
    const double work_gain = seen_.working() / std::max(s.working_before, 1e-9) - 1;
    // Throughput is what counts; of few tasks the CPU time they took tells more.
    // Not at first, when all the new workers begin a task at once.
    const bool few = std::min(seen_.completed, s.completed) < 400 && seen_.time >= 2 * time_scale();
    const double gain = few ? std::max(rate_gain, work_gain) : rate_gain;
    // Added workers can use no more than the cores that lay idle.
    const double possible = std::min(grown, cores_ / std::max(s.working_before, 1e-3 * cores_) - 1);
    if (s.known && possible < little_room) {
      // What the last few percent bring is lost in noise, so a few steps must do.
      if (seen_.time < std::max<nanoseconds>(200ms, 3 * time_scale())) return stay(short_window);
      step_.reset();
      if (++last_steps_ >= most_last_steps) {
        ceiling_ = size_;
        pause_ = std::max<nanoseconds>(pause_, 60s);
        postpone_trials();
      }
      return std::nullopt;
    }
    if (gain >= (s.known ? least_yield : least_blind_yield) * possible ||
        (!s.known && (grown < 2 || s.completed < 8))) {
      step_.reset();
      if (ceiling_ && size_ > *ceiling_) ceiling_.reset();
      return std::nullopt;
    }
    if (grown < 0.3) return std::nullopt;
    const bool sure = seen_.completed >= std::max(20, size_) &&
                      seen_.time >= std::max<nanoseconds>(100ms, 3 * time_scale());
    if (!sure) return stay(short_window);
    step_.reset();
    idle_at_.reset();
    const int grown_to = size_;
    postpone_trials();
    // At its pace before, a task needs so many workers to reach this throughput (Little's law).
    const double needed = s.before * std::max(1.0, 1 + rate_gain);
    const bool nothing_gained = rate_gain < 0.05;
    const int size =
        nothing_gained ? s.before : std::clamp(rounded_up(1.15 * needed), s.before, size_);
    ceiling_ = size;
    try_fewer_ = true;
    try_fewer_after_ = nothing_gained ? now_ : now_ + 2s;
    const std::string result =
        nothing_gained ? text("%.0f workers did no more than %.0f: ", grown_to, s.before)
                       : text("%.0f workers instead of %.0f did %.2f times as much: ", grown_to,
                              s.before, 1 + rate_gain);
    // Or the tasks have become others at that moment, as is seen when the size is back.
    if (rate_gain < -0.5) rate_before_fall_ = s.rate_before;
    const std::string reason = result + what_is_short(s);  // before the size is another
    return change(now, size, cause::saturation, reason);
  }

  // Whether more workers only make the work of each slower.
  static std::optional<std::string> slower_work(const tally& seen, const step& before) {
    const double cpu = times(seen.a_task(seen.computing), before.cpu);
    if (cpu <= clearly) return std::nullopt;
    return text("a task takes %.1f times as much CPU time, so they spin, or share a memory bus",
                cpu);
  }

  // What more workers wait for, or waste, by what a task takes now and took before.
  std::string what_is_short(const step& before) const {
    if (before.known) {
      if (auto waste = slower_work(seen_, before)) return *waste;
      const double switches = times(seen_.a_task(seen_.switches), before.switches);
      if (switches > clearly) {
        return text("a task goes to sleep %.1f times as often, so they share a lock", switches);
      }
      const double sleep = seen_.a_task(seen_.asleep() * seconds(seen_.time));
      if (times(sleep, before.sleep) > clearly) {
        return text("a task sleeps %.1f times as long, so what it waits for gives no more",
                    times(sleep, before.sleep));
      }
    }
    return "what the tasks wait for gives no more";
  }

  // The cores are wanted by others, or held back, or lost to what cannot be seen.
  std::optional<choice> contended(const window& now) {
    if (odd_pace_ > 0) return stay(short_window);
    if (seen_.time < 150ms || rates_.count() < 6 || now_ < no_trial_before_) return std::nullopt;
    const double working = seen_.working();
    if (working > 0.92 * cores_ || seen_.waiting_for_core() < 0.05 * cores_) return std::nullopt;
    if (now.throttled > 0.05) return std::nullopt;
    // A scheduler that shares the cores out by threads gives more to more.
    return begin_trial(now, 2 * size_, least_trial_yield,
                       text("others use, or hold back, %.3g of ", cores_ - working) +
                           detail::count(cores_, "core"));
  }

  choice begin_trial(const window& now, int size, double bar, std::string reason) {
    size = std::clamp(size, now.least, now.most);
    if (size == size_) {
      postpone_trials();
      return stay(rest_window);
    }
    const trial begun{size_, rates_, bar};
    choice c = change(now, size, cause::trial, std::move(reason));
    trial_ = begun;
    return c;
  }

  choice go_on_with_trial(const window& now) {
    if (!settled() || now_ - begun_ <= short_window) return stay(short_window);
    rates_.add(now);
    if (rates_.count() < 4) return stay(short_window);
    const trial t = *trial_;
    const double gain = rates_.mean() / std::max(t.rates_before.mean(), 1e-9) - 1;
    const double error = std::sqrt(rates_.relative_variance() + t.rates_before.relative_variance());
    if (std::abs(gain - t.bar) < 2 * error && !rates_.full()) return stay(short_window);
    trial_.reset();
    const std::string outcome =
        detail::count(size_, "worker") +
        text(" instead of %.0f changed throughput by %+.0f %%", t.before, gain * 100);
    if (gain < t.bar) {
      postpone_trials();
      return change(now, t.before, cause::trial_failed, outcome);
    }
    fewer_is_better_ = size_ < t.before;
    if (fewer_is_better_) {
      ceiling_ = size_;
      try_fewer_ = size_ > 1;
    } else {
      crowding_pays_ = true;
      no_trial_before_ = {};
      pause_ = first_pause;
    }
    return {size_, cause::trial_paid, outcome, short_window};
  }

  void postpone_trials() {
    no_trial_before_ = now_ + pause_;
    pause_ = std::min(longest_pause, 4 * pause_);
  }

  struct idle_size {
    int size;
    double asleep;
  };

  int size_ = 1;
  double cores_ = 1;
  nanoseconds now_{};
  nanoseconds begun_{};          // when this size began
  nanoseconds crowded_until_{};  // more than this size were at work
  nanoseconds unrest_{};         // when the cores were last used otherwise than before

  // Since then, the later windows above all: all of them, and those in which work waited.
  tally all_, seen_;
  rate_sample rates_;  // after the size had settled

  // What is known of the tasks.
  double task_seconds_ = 0;
  double sleep_seconds_ = 0;
  nanoseconds silence_{};  // in which no task ended
  nanoseconds longest_silence_{};
  std::optional<load_kind> reference_;
  tally kind_;  // tasks not yet compared with it
  int odd_windows_ = 0;
  int odd_pace_ = 0;

  int blind_steps_ = 0;
  int unknown_steps_ = 0;  // one after the other
  int last_steps_ = 0;     // with cores that were nearly full
  std::optional<step> step_;
  std::optional<step> grown_from_;  // the last step up, judged or not
  std::optional<trial> trial_;
  std::optional<int> ceiling_;              // above which growth has not paid
  std::optional<idle_size> idle_at_;        // too small, as has been seen
  std::optional<double> rate_before_fall_;  // from which throughput fell with more workers
  bool try_fewer_ = false;
  nanoseconds try_fewer_after_{};
  bool fewer_is_better_ = false;
  bool crowding_pays_ = false;  // beside others on the same cores
  nanoseconds no_trial_before_{};
  nanoseconds pause_ = first_pause;
};

}  // namespace

std::unique_ptr<law> make_adaptive_law() { return std::make_unique<adaptive_law>(); }

}  // namespace heddle::inline HEDDLE_ABI::sizing
