#include "report.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace heddle::tool {
namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// getrusage() also counts the image that was there before exec, which may be our parent's.
std::optional<long> peak_memory_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key; status.ignore(256, '\n')) {
    long kib = 0;
    if (key == "VmHWM:" && status >> kib) return kib;
  }
  return std::nullopt;
}

// Figures that both reports tell, derived once.
struct figures {
  double wall;
  double busy;
  double user;
  double system;
  double speed_up;  // busy time over wall time
  double waited;    // share of the busy time without CPU
  double own_cpu;   // of heddle itself
  double own_cpu_per_job_us;
  long own_peak_kib;

  figures(const run_statistics& s, std::chrono::steady_clock::time_point end)
      : wall(seconds(end - s.start)),
        busy(seconds(s.busy)),
        user(seconds(s.user)),
        system(seconds(s.system)),
        speed_up(wall > 0 ? busy / wall : 0),
        waited(busy > 0 ? std::clamp(1 - (user + system) / busy, 0.0, 1.0) : 0) {
    rusage self{};
    ::getrusage(RUSAGE_SELF, &self);
    own_cpu = seconds(self.ru_utime) + seconds(self.ru_stime);
    own_cpu_per_job_us = s.attempts == 0 ? 0 : own_cpu * 1e6 / static_cast<double>(s.attempts);
    own_peak_kib = peak_memory_kib().value_or(self.ru_maxrss);
  }
};

double quantile(const run_statistics& s, double share) {
  return static_cast<double>(s.attempt_microseconds.quantile(share)) / 1e6;
}

// A time with three digits that matter.
std::string human(double time) {
  if (time < 1e-3) return fmt::format("{:.0f} us", time * 1e6);
  if (time < 1) return fmt::format("{:.3g} ms", time * 1e3);
  if (time < 600) return fmt::format("{:.3g} s", time);
  return fmt::format("{:.0f} s", time);
}

// One character for each step, from empty to full.
std::string sparkline(const concurrency_series& series) {
  static constexpr std::string_view levels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string line;
  const double highest = std::max(1u, series.highest());
  for (std::size_t i = 0; i < series.size(); ++i) {
    const double height = std::clamp(series.mean(i) / highest, 0.0, 1.0);
    line += levels[static_cast<std::size_t>(std::lround(height * 8))];
  }
  return line;
}

// The changes in words. Of many, the first and the last ones.
void append_steps(std::string& text, const sizing_log& sizes) {
  constexpr std::size_t most = 10;  // at each end
  std::vector<const sizing::logged_choice*> kept;
  kept.reserve(sizes.first.size() + sizes.last.size());
  for (const auto& c : sizes.first) kept.push_back(&c);
  for (const auto& c : sizes.last) kept.push_back(&c);
  const bool cut = sizes.choices > 2 * most + 1;
  for (std::size_t i = 1; i < kept.size(); ++i) {
    if (cut && i == most + 1) {
      fmt::format_to(std::back_inserter(text), "    ... {} more\n", sizes.choices - 1 - 2 * most);
    }
    if (cut && i > most && i + most < kept.size()) continue;
    fmt::format_to(std::back_inserter(text), "    {:>8}  {:>4} -> {:<4}  {}\n",
                   human(seconds(kept[i]->at)), kept[i]->before, kept[i]->after, kept[i]->reason);
  }
}

void append_json(std::string& json, const sizing_log& sizes, std::chrono::nanoseconds run) {
  const auto out = std::back_inserter(json);
  fmt::format_to(out,
                 R"(, "sizes": {{"changes": {}, "looks": {}, "cpu_seconds": {:.6f}, )"
                 R"("cpu_share": {:.6f}, "knows_waiting": {}, "steps": [)",
                 sizes.choices - 1, sizes.windows, seconds(sizes.cost), sizes.share_of_cores(run),
                 sizes.knows_waiting);
  const char* comma = "";
  for (const auto* part : {&sizes.first, &sizes.last}) {
    for (const sizing::logged_choice& c : *part) {
      fmt::format_to(out,
                     R"({}{{"seconds": {:.6f}, "before": {}, "after": {}, "cause": "{}", )"
                     R"("reason": {}, "busy": {:.3f}, "computing": {:.3f}, "runnable": {:.3f}, )"
                     R"("cores": {:.3f}}})",
                     std::exchange(comma, ", "), seconds(c.at), c.before, c.after,
                     sizing::to_string(c.why), nlohmann::json(c.reason).dump(), c.signals.busy,
                     c.signals.computing, c.signals.runnable, c.signals.cores);
    }
  }
  json += "]}";
}

}  // namespace

void concurrency_series::change(clock::time_point now, unsigned running) {
  add(now - last_);
  last_ = now;
  running_ = running;
  highest_ = std::max(highest_, running);
}

void concurrency_series::add(std::chrono::nanoseconds length) {
  while (length.count() > 0) {
    if (used_ == 0 || filled_ == step_) {
      if (used_ == most_steps) halve();
      area_[used_++] = 0;
      filled_ = {};
    }
    const auto part = std::min(length, step_ - filled_);
    area_[used_ - 1] += static_cast<double>(part.count()) * running_;
    filled_ += part;
    length -= part;
  }
}

void concurrency_series::halve() {
  for (std::size_t i = 0; i < most_steps / 2; ++i) area_[i] = area_[2 * i] + area_[2 * i + 1];
  used_ = most_steps / 2;
  step_ *= 2;
}

double concurrency_series::mean(std::size_t index) const noexcept {
  const auto length = index + 1 == used_ ? filled_ : step_;
  return length.count() == 0 ? 0 : area_[index] / static_cast<double>(length.count());
}

double concurrency_series::mean() const noexcept {
  if (used_ == 0) return 0;
  double area = 0;
  for (std::size_t i = 0; i < used_; ++i) area += area_[i];
  const auto length = step_ * static_cast<std::int64_t>(used_ - 1) + filled_;
  return area / static_cast<double>(length.count());
}

std::string summary(const sizing_log& sizes, std::chrono::nanoseconds run) {
  const sizing::logged_choice& last = sizes.last.empty() ? sizes.first.back() : sizes.last.back();
  std::string text = fmt::format("{} at first", sizes.first.front().after);
  if (sizes.choices > 1) text += fmt::format(", {} at last", last.after);
  text += fmt::format("; {} change{} in {} look{}, {} of CPU ({:.2f} % of the cores' time)",
                      sizes.choices - 1, sizes.choices == 2 ? "" : "s", sizes.windows,
                      sizes.windows == 1 ? "" : "s", human(seconds(sizes.cost)),
                      100 * sizes.share_of_cores(run));
  if (!sizes.knows_waiting) text += "; waiting for a CPU was not known";
  return text;
}

std::string text_report(const run_statistics& s, std::chrono::steady_clock::time_point end,
                        const sizing_log* sizes) {
  const figures f(s, end);
  std::string text;
  const auto line = [&text](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(text), "  {:<12}{}\n", name, value);
  };
  std::string jobs = fmt::format("{}, {} failed", s.jobs, s.failed);
  if (s.stopped != 0) jobs += fmt::format(", {} stopped", s.stopped);
  if (s.retries != 0) {
    jobs += fmt::format(", {} {}", s.retries, s.retries == 1 ? "retry" : "retries");
  }
  if (s.timeouts != 0) jobs += fmt::format(", {} timed out", s.timeouts);
  if (s.skipped != 0) jobs += fmt::format(", {} done before and skipped", s.skipped);
  text += "heddle map:\n";
  line("jobs", jobs);
  line("wall time", human(f.wall));
  if (s.attempts == 0) return text;
  line("rate", fmt::format("{:.4g} jobs/s", static_cast<double>(s.attempts) / f.wall));
  line("CPU time", fmt::format("{} user, {} system", human(f.user), human(f.system)));
  line("job time",
       fmt::format("mean {}, p50 {}, p90 {}, p99 {}, max {}",
                   human(s.attempt_microseconds.mean() / 1e6), human(quantile(s, 0.5)),
                   human(quantile(s, 0.9)), human(quantile(s, 0.99)), human(quantile(s, 1))));
  line("speed-up", fmt::format("{:.2f} over one job at a time", f.speed_up));
  line("waiting", fmt::format("{:.0f} % of job time was waited, not computed", f.waited * 100));
  line("running", fmt::format("mean {:.2f}, most {}; a step of {} each:", s.running.mean(),
                              s.running.highest(), human(seconds(s.running.step()))));
  text += "    |" + sparkline(s.running) + "|\n";
  if (sizes != nullptr) {
    line("sizes", summary(*sizes, end - s.start));
    append_steps(text, *sizes);
  }
  line("heddle", fmt::format("{:.0f} us of CPU a job, {:.1f} MiB at most", f.own_cpu_per_job_us,
                             static_cast<double>(f.own_peak_kib) / 1024));
  return text;
}

std::string json_report(const run_statistics& s, std::chrono::steady_clock::time_point end,
                        const sizing_log* sizes) {
  const figures f(s, end);
  std::string json;
  const auto out = std::back_inserter(json);
  fmt::format_to(out,
                 R"({{"jobs": {}, "succeeded": {}, "failed": {}, "stopped": {}, "skipped": {}, )"
                 R"("attempts": {}, "retries": {}, "timeouts": {}, "wall_seconds": {:.6f}, )"
                 R"("user_seconds": {:.6f}, "system_seconds": {:.6f}, )",
                 s.jobs, s.succeeded, s.failed, s.stopped, s.skipped, s.attempts, s.retries,
                 s.timeouts, f.wall, f.user, f.system);
  fmt::format_to(out,
                 R"("job_seconds": {{"mean": {:.6f}, "p50": {:.6f}, "p90": {:.6f}, )"
                 R"("p99": {:.6f}, "max": {:.6f}, "sum": {:.6f}}}, )",
                 s.attempt_microseconds.mean() / 1e6, quantile(s, 0.5), quantile(s, 0.9),
                 quantile(s, 0.99), quantile(s, 1), f.busy);
  fmt::format_to(out,
                 R"("running": {{"mean": {:.3f}, "max": {}, "step_seconds": {:.3f}, "steps": [)",
                 s.running.mean(), s.running.highest(), seconds(s.running.step()));
  for (std::size_t i = 0; i < s.running.size(); ++i) {
    fmt::format_to(out, "{}{:.3f}", i == 0 ? "" : ", ", s.running.mean(i));
  }
  fmt::format_to(out,
                 R"(]}}, "speed_up": {:.4f}, "waiting_share": {:.4f}, )"
                 R"("own": {{"cpu_seconds": {:.6f}, "cpu_us_per_job": {:.2f}, )"
                 R"("peak_rss_kib": {}}})",
                 f.speed_up, f.waited, f.own_cpu, f.own_cpu_per_job_us, f.own_peak_kib);
  if (sizes != nullptr) append_json(json, *sizes, end - s.start);
  json += "}\n";
  return json;
}

}  // namespace heddle::tool
