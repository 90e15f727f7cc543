#include "adaptive_slots.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "cpu_time.hpp"

namespace heddle::tool {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

// Of the CPU time that the usable cores have, deciding may take this share.
constexpr double cost_share = 0.005;
constexpr nanoseconds shortest_window = 5ms;
constexpr nanoseconds longest_window = 10s;
// How fast the mean of what jobs take forgets.
constexpr double memory_of_mean = 0.9;

// The kernel counts our own image, before exec, as the job's. With some room for growth.
long own_memory_kib() noexcept {
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  return self.ru_maxrss + self.ru_maxrss / 4;
}

double per_second(nanoseconds part, nanoseconds whole) {
  return std::chrono::duration<double>(part) / std::chrono::duration<double>(whole);
}

// What the law takes for asleep is busy - computing - runnable, of workers that are awake or not.
// So several threads of a job that wait for a core count once, and a job on several cores counts as
// so many.
void count_once(sizing::window& w, double excess) {
  w.busy += std::max(0.0, excess - w.runnable);
  w.runnable = std::max(0.0, w.runnable - excess);
}

// The law speaks of workers.
std::string of_jobs(std::string reason) {
  constexpr std::string_view workers = "worker";
  for (std::size_t at = 0; (at = reason.find(workers, at)) != reason.npos;) {
    reason.replace(at, workers.size(), "job");
  }
  return reason;
}

}  // namespace

adaptive_slots::adaptive_slots(process::event_loop& loop, const options& o,
                               sizing_listener& listener)
    : options_(o),
      listener_(listener),
      start_(clock::now()),
      timer_(
          loop, [](void* self) noexcept { static_cast<adaptive_slots*>(self)->end_window(); },
          this),
      meter_(start_, o.files),
      surroundings_(start_, o.files),
      law_(o.make_law()),
      own_image_kib_(own_memory_kib()),
      window_start_(start_) {
  log_.cores = surroundings_.cores(start_);
  sizing::choice c = law_->first(log_.cores, 1, options_.most);
  size_ = std::clamp(c.size, 1, options_.most);
  look_again_ = c.look_again;
  log_.knows_waiting = meter_.knows_waiting();
  log_.add({.after = size_, .why = c.why, .reason = of_jobs(std::move(c.reason))});
}

void adaptive_slots::before_reap(pid_t job) noexcept {
  if (!meter_.wants_look(job)) return;
  const nanoseconds cost_before = thread_cpu_time();
  meter_.before_reap(job);
  log_.cost += thread_cpu_time() - cost_before;
}

void adaptive_slots::on_start(pid_t job) { meter_.on_start(clock::now(), job); }

void adaptive_slots::on_end(pid_t job, const process::exit_report& report) noexcept {
  ++ended_;
  meter_.on_end(clock::now(), job, report);
  const long kib = report.max_rss_kib > own_image_kib_ ? report.max_rss_kib : 0;
  mean_memory_ += (static_cast<double>(kib) * 1024 - mean_memory_) * (1 - memory_of_mean);
}

void adaptive_slots::on_limit(std::uint64_t waiting) {
  at_limit_ = true;
  waiting_ = waiting;
  fewest_waiting_ = std::min(fewest_waiting_, waiting);
  if (!timer_.armed()) begin_window(clock::now());
}

void adaptive_slots::on_shortage() noexcept {
  at_limit_ = false;
  was_short_ = true;
}

// What jobs did meanwhile tells nothing about them.
void adaptive_slots::on_interruption() noexcept {
  timer_.disarm();
  try {
    if (at_limit_) begin_window(clock::now());
  } catch (const std::exception&) {
    // The next job that ends begins a window.
  }
}

void adaptive_slots::begin_window(clock::time_point now) {
  const nanoseconds cost_before = thread_cpu_time();
  before_ = meter_.read(now);
  start_counting(now);
  pay(thread_cpu_time() - cost_before);
  arm(now);
}

// The next window is so long that what was just spent is little beside it.
void adaptive_slots::pay(nanoseconds cost) {
  log_.cost += cost;
  affordable_ = std::chrono::duration_cast<nanoseconds>(cost / (cost_share * log_.cores));
}

void adaptive_slots::start_counting(clock::time_point now) {
  window_start_ = now;
  ended_before_ = ended_;
  was_short_ = false;
  fewest_waiting_ = waiting_;
}

void adaptive_slots::arm(clock::time_point now) {
  const nanoseconds length = std::max(look_again_, affordable_);
  timer_.arm(now + std::clamp(length, shortest_window, longest_window));
}

void adaptive_slots::end_window() noexcept {
  const int before = size_;
  try {
    decide(clock::now());
  } catch (const std::exception&) {
    // Without memory the size stays, and the next job that ends begins another window.
    timer_.disarm();
  }
  if (size_ > before) listener_.on_more_slots();
}

void adaptive_slots::decide(clock::time_point now) {
  const nanoseconds cost_before = thread_cpu_time();
  if (++log_.windows == 1 && !log_.knows_waiting) listener_.on_blindness();
  const sizing::window w = measure(now);
  const sizing::choice c = law_->next(w);
  take(c, w);
  look_again_ = c.look_again;

  start_counting(now);
  pay(thread_cpu_time() - cost_before);
  // With slots to spare there is nothing to decide until they are used up again.
  if (at_limit_) arm(now);
}

sizing::window adaptive_slots::measure(clock::time_point now) {
  const job_times times = meter_.read(now);
  const job_times past = std::exchange(before_, times);
  const nanoseconds length = std::max<nanoseconds>(now - window_start_, 1ns);
  own_image_kib_ = own_memory_kib();

  sizing::window w;
  w.end = now - start_;
  w.length = length;
  w.cores = log_.cores = surroundings_.cores(now);
  w.size = size_;
  room_ = surroundings_.room(now, times.jobs, needs(), options_.most);
  w.most = room_.most;
  w.busy = per_second(times.busy - past.busy, length);
  w.computing = per_second(times.computing - past.computing, length);
  w.runnable = per_second(times.runnable - past.runnable, length);
  count_once(w, per_second(times.excess - past.excess, length));
  w.knows_runnable = times.knows_runnable;
  w.completed = ended_ - ended_before_;
  w.queued = was_short_ ? 0 : fewest_waiting_;
  const surroundings::load load = surroundings_.read_load(now, times.computing);
  w.foreign = load.foreign;
  w.knows_foreign = load.knows_foreign;
  w.throttled = load.throttled;
  return w;
}

sizing::worker_needs adaptive_slots::needs() const {
  sizing::worker_needs each;
  each.descriptors = options_.descriptors_a_job;
  each.threads = before_.jobs == 0
                     ? 1
                     : static_cast<std::uint64_t>(std::max(1, before_.threads / before_.jobs));
  each.memory_bytes = static_cast<std::uint64_t>(mean_memory_);
  return each;
}

void adaptive_slots::take(const sizing::choice& c, const sizing::window& w) {
  const int size = std::clamp(c.size, 1, options_.most);
  if (size == size_) return;
  std::string reason = of_jobs(c.reason);
  const bool is_bound = c.why == sizing::cause::bounds || (size > size_ && size == w.most);
  if (is_bound && !room_.reason.empty())
    reason += "; there is room for no more: " + of_jobs(room_.reason);
  const sizing::logged_choice entry{.at = w.end,
                                    .before = size_,
                                    .after = size,
                                    .why = c.why,
                                    .reason = std::move(reason),
                                    .signals = w};
  size_ = size;
  listener_.on_choice(entry);
  log_.add(entry);
}

}  // namespace heddle::tool
