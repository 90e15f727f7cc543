#include "job_meter.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <heddle/kernel/schedstat.hpp>

namespace heddle::tool {
namespace {

using std::chrono::nanoseconds;

constexpr unsigned examinations_per_read = 8;
// What a small known part says about a large unknown one is not believed beyond this factor.
constexpr double most_extrapolation = 8;
// The kernel books waiting for a CPU when it is over, which may be so much later.
constexpr nanoseconds latest_booking = std::chrono::milliseconds(100);

nanoseconds duration_of(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

// Starting and reaping jobs and passing on their output is work that jobs make.
nanoseconds own_cpu_time() {
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  return duration_of(self.ru_utime) + duration_of(self.ru_stime);
}

}  // namespace

job_meter::job_meter(clock::time_point now, const kernel::tree& files)
    : files_(files),
      sampler_(kernel::kinship::descendants, files),
      last_(now),
      examinations_left_(examinations_per_read) {}

void job_meter::pass_time(clock::time_point now) noexcept {
  totals_.busy += (now - last_) * static_cast<std::int64_t>(jobs_.size());
  last_ = now;
}

void job_meter::on_start(clock::time_point now, pid_t job) {
  pass_time(now);
  jobs_.insert_or_assign(job, running_job{.seen = now});
}

// A job can be awake for as long as it runs. What it did beyond that, its threads did at once, if
// it cannot be time of before that was booked late.
void job_meter::claim(running_job& job, nanoseconds passed, nanoseconds awake) noexcept {
  job.unclaimed += passed - awake;
  totals_.excess += std::max(-job.unclaimed, nanoseconds{});
  job.unclaimed = std::clamp(job.unclaimed, nanoseconds{}, latest_booking);
}

bool job_meter::wants_look(pid_t job) const noexcept {
  if (examinations_left_ == 0 || !sampler_.knows_waiting()) return false;
  const auto found = jobs_.find(job);
  return found != jobs_.end() && !found->second.sampled && !found->second.examined;
}

void job_meter::before_reap(pid_t job) noexcept {
  if (!wants_look(job)) return;
  const auto found = jobs_.find(job);
  --examinations_left_;
  try {
    if (const auto books = kernel::read_schedstat(job, job, files_)) {
      found->second.examined = true;
      found->second.waited = books->waiting;
    }
  } catch (const std::exception&) {
    // Without memory the job counts as one that nobody looked at.
  }
}

void job_meter::on_end(clock::time_point now, pid_t job,
                       const process::exit_report& report) noexcept {
  pass_time(now);
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  running_job& ended = found->second;
  const nanoseconds used = report.user + report.system;
  if (ended.sampled) {
    sampler_.retire(job, used);
    claim(ended, now - ended.seen, std::max(used - ended.counted.running, nanoseconds{}));
  } else {
    short_jobs_ += used;
    claim(ended, report.ended - report.started, used + ended.waited);
  }
  (ended.examined ? observed_ : unobserved_) += now - ended.seen;
  waited_ += ended.waited;
  jobs_.erase(found);
}

job_times job_meter::read(clock::time_point now) {
  pass_time(now);
  for (auto& [pid, job] : jobs_) {
    if (!job.sampled) sampler_.add(pid);
    job.sampled = true;
  }
  const kernel::process_times sampled = sampler_.sample();
  for (auto& [pid, job] : jobs_) {
    const nanoseconds passed = now - std::exchange(job.seen, now);
    observed_ += passed;
    const auto counted = sampler_.of(pid).value_or(job.counted);
    claim(job, passed,
          counted.running - job.counted.running + counted.waiting - job.counted.waiting);
    job.counted = counted;
  }
  totals_.computing = sampled.running + short_jobs_ + own_cpu_time();

  const nanoseconds waited =
      waited_ + sampled.waiting - std::exchange(sampled_waiting_, sampled.waiting);
  const double known = std::chrono::duration<double>(observed_).count();
  const double unknown = std::chrono::duration<double>(unobserved_).count();
  const double factor = known > 0 ? std::min(1 + unknown / known, most_extrapolation) : 1;
  totals_.runnable += std::chrono::duration_cast<nanoseconds>(waited * factor);
  totals_.knows_runnable =
      sampler_.knows_waiting() && (known > 0 ? unknown / known < most_extrapolation : unknown == 0);
  totals_.jobs = static_cast<int>(jobs_.size());
  totals_.threads = sampled.threads;

  observed_ = waited_ = unobserved_ = {};
  examinations_left_ = examinations_per_read;
  return totals_;
}

}  // namespace heddle::tool
