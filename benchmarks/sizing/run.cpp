#include "run.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <heddle/exec/thread_pool.hpp>
#include <thread>

#include "loads.hpp"
#include "surroundings.hpp"
#include "work.hpp"

namespace bench {
namespace {

// Many threads count in it. Quantiles are at most 1/32 too high.
class shared_histogram {
 public:
  void record(std::uint64_t value) {
    counts_[cell_of(value)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }
  double quantile(double share) const {
    const auto wanted = share * static_cast<double>(count());
    std::uint64_t seen = 0;
    for (std::size_t cell = 0; cell < counts_.size(); ++cell) {
      seen += counts_[cell].load();
      if (seen > 0 && static_cast<double>(seen) >= wanted) return lowest_in(cell + 1);
    }
    return 0;
  }
  double mean() const {
    return static_cast<double>(sum_.load()) /
           static_cast<double>(std::max<std::uint64_t>(count(), 1));
  }

 private:
  static constexpr unsigned bits = 5;

  std::uint64_t count() const {
    std::uint64_t all = 0;
    for (const auto& one : counts_) all += one.load();
    return all;
  }
  static std::size_t cell_of(std::uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= bits) return value;
    const unsigned shift = width - bits - 1;
    return (std::size_t{shift} << bits) + (value >> shift);
  }
  static double lowest_in(std::size_t cell) {
    if (cell < (std::size_t{2} << bits)) return static_cast<double>(cell);
    const std::size_t shift = (cell >> bits) - 1;
    return std::ldexp(static_cast<double>(cell - (shift << bits)), static_cast<int>(shift));
  }

  std::array<std::atomic<std::uint64_t>, (64 << bits)> counts_{};
  std::atomic<std::uint64_t> sum_{0};
};

double cpu_seconds_of_process() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds_of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

std::uint64_t nanoseconds_between(clock::time_point begin, clock::time_point end) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(std::chrono::nanoseconds(end - begin).count(), 0));
}

class runner {
 public:
  explicit runner(const run_settings& settings)
      : settings_(settings),
        load_(make_load(settings.load)),
        phases_(load_->phases()),
        counts_(
            static_cast<std::size_t>(std::lround(settings.seconds / run_result::bucket_seconds))) {
    if (settings.phase_seconds > 0)
      for (auto& one : phases_) one.seconds = settings.phase_seconds;
  }

  run_result run() {
    enter_next_phase();
    result_.phases[0].at = 0;
    const double foreign_before = foreign_seconds();
    auto options = options_of(settings_.contender);
    start_ = clock::now();
    heddle::thread_pool pool(std::move(options));
    while (now() < settings_.seconds) {
      if (!phases_.empty() && now() >= phase_end_) enter_next_phase();
      post_due(pool);
      std::this_thread::sleep_for(tick);
    }
    result_.foreign_cores = (foreign_seconds() - foreign_before) / now();
    over_.store(true);
    result_.choices = recorded();
    result_.cpu_seconds = cpu_seconds_of_process();
    result_.controller_seconds = seconds(pool.statistics().sizing_cpu).count();
    for (const auto& count : counts_) result_.completed.push_back(count.load());
    result_.task_mean = times_.mean() / 1000;
    result_.task_p99 =
        (load_->arrivals_per_second() > 0 ? times_since_arrival_ : times_).quantile(0.99) / 1000;
    result_.remark = load_->remark();
    if (phases_.empty()) result_.phases.clear();
    return std::move(result_);
  }

 private:
  static constexpr std::chrono::milliseconds tick{1};
  // Tasks that wait in a load that never runs dry: more than any size, and than are done in a tick.
  static constexpr std::uint64_t backlog = 4096;

  double now() const { return seconds(clock::now() - start_).count(); }

  double foreign_seconds() const {
    return cpu_seconds_of_machine() - cpu_seconds_of_process() - load_->companions_cpu_seconds();
  }

  void enter_next_phase() {
    if (phases_.empty()) {
      result_.phases.push_back({});
      return;
    }
    const std::size_t which = phases_entered_++ % phases_.size();
    load_->enter(which);
    const double begun = phases_entered_ == 1 ? 0 : now();
    phase_end_ = begun + phases_[which].seconds;
    result_.phases.push_back({begun, phases_[which].name});
  }

  void post_due(heddle::thread_pool& pool) {
    const double rate = load_->arrivals_per_second();
    if (rate <= 0) {
      while (posted_ < ended_.load(std::memory_order_relaxed) + backlog) post(pool, clock::now());
      return;
    }
    for (const double until = now(); next_arrival_ <= until;) {
      post(pool, start_ + std::chrono::duration_cast<clock::duration>(seconds(next_arrival_)));
      next_arrival_ += arrivals_.exponential(1 / rate);
    }
  }

  void post(heddle::thread_pool& pool, clock::time_point arrival) {
    pool.post([this, &pool, index = posted_++, arrival] { run_task(pool, index, arrival); });
  }

  void run_task(heddle::thread_pool& pool, std::uint64_t index, clock::time_point arrival) {
    if (over_.load(std::memory_order_relaxed)) return;
    const auto begin = clock::now();
    load_->task(index, pool);
    const auto end = clock::now();
    ended_.fetch_add(1, std::memory_order_relaxed);
    const double at = seconds(end - start_).count();
    const auto bucket = static_cast<std::size_t>(at / run_result::bucket_seconds);
    if (bucket < counts_.size()) counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    if (at < settings_.warm_up) return;
    times_.record(nanoseconds_between(begin, end));
    times_since_arrival_.record(nanoseconds_between(arrival, end));
  }

  run_settings settings_;
  std::unique_ptr<load> load_;
  std::vector<phase> phases_;
  std::size_t phases_entered_ = 0;
  double phase_end_ = 0;
  clock::time_point start_;
  std::uint64_t posted_ = 0;
  random_numbers arrivals_{1, 0};
  double next_arrival_ = 0;
  run_result result_;

  std::atomic<bool> over_{false};
  std::vector<std::atomic<std::uint64_t>> counts_;
  shared_histogram times_;
  shared_histogram times_since_arrival_;
  alignas(64) std::atomic<std::uint64_t> ended_{0};
};

}  // namespace

run_result run(const run_settings& settings) {
  // Sleeps as short as asked for; threads take it over from the one that starts them.
  prctl(PR_SET_TIMERSLACK, 1000);
  set_turns_per_microsecond(settings.turns_per_microsecond > 0 ? settings.turns_per_microsecond
                                                               : measure_turns_per_microsecond());
  return std::make_unique<runner>(settings)->run();
}

}  // namespace bench
