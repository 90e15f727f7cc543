// What a pool tells about itself.

#include <heddle/exec/pool_report.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string_view>
#include <utility>

#include "base/json_writer.hpp"
#include "pool_core.hpp"
#include "pool_sizing.hpp"
#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI {

namespace detail {

std::size_t pool_core::queued_jobs() const noexcept {
  std::size_t jobs = injected_.size();
  for (const lane& l : lanes_) jobs += l.queue.size();
  for (const auto& s : slots_in_use()) jobs += s->deque.size() + s->inbox.size();
  return jobs;
}

pool_statistics pool_core::statistics() {
  pool_statistics r;
  // In this order, so that completed <= started <= submitted.
  r.completed = completed_.read();
  for (const auto& s : slots()) r.completed += s->completed.read();
  std::uint64_t of_other_levels = 0;
  for (std::size_t i = 0; i < priority_levels; ++i) {
    r.levels[i].completed = lanes_[i].completed.read();
    of_other_levels += r.levels[i].completed;
  }
  level_statistics& normal = r.levels[normal_level - 1];
  normal.completed = r.completed - std::min(r.completed, of_other_levels);
  r.started = started_.read();
  for (const auto& s : slots()) r.started += s->started.read();
  of_other_levels = 0;
  std::uint64_t of_bulks = 0;  // which are counted with the normal ones, too
  r.submitted = injected_.pushed() + submitted_.read();
  for (std::size_t i = 0; i < priority_levels; ++i) {
    r.levels[i].submitted = lanes_[i].queue.pushed() + lanes_[i].bulk_tasks.read();
    r.levels[i].queued = lanes_[i].queue.size();
    of_other_levels += lanes_[i].queue.pushed();
    of_bulks += lanes_[i].bulk_tasks.read();
  }
  for (const auto& s : slots()) {
    r.robbed.push_back(s->robbed.read());
    r.submitted += s->submitted.read() + s->inbox.pushed();
    r.steal_attempts += s->steal_attempts.read();
    r.steals += s->steals.read();
  }
  r.discarded = discarded_.read();
  r.helped = helped_.read();
  r.blocked = blocked_.read();
  r.starved = starved_.read();
  r.wakeups = wakeups_.read();
  r.misplaced = misplaced_.read();
  r.over_capacity = over_capacity_.read();
  r.refused = refused_.read();
  r.ran_in_caller = ran_in_caller_.read();
  r.dropped = dropped_.read();
  r.injected = injected_.size();
  r.workers = size();
  for (const auto& s : slots()) {
    if (s->number == r.workers) break;
    r.queue_sizes.push_back(s->deque.size() + s->inbox.size());
  }
  normal.submitted = r.submitted - std::min(r.submitted, of_bulks);
  r.submitted += of_other_levels;
  normal.queued = std::accumulate(r.queue_sizes.begin(), r.queue_sizes.end(), r.injected);
  const auto [low, high] = std::ranges::minmax(r.queue_sizes);
  r.min_queue = low;
  r.max_queue = high;
  if (high != 0) r.load_balance = static_cast<double>(low) / static_cast<double>(high);
  {
    const prim::scoped_lock lock(sleep_mutex_);
    r.threads = threads_;
    r.peak_threads = peak_threads_;
    r.idle = state_.sleepers() - orphan_count_;
  }
  if (sizer_ != nullptr) sizer_->add_to(r);
  const prim::scoped_lock lock(threads_mutex_);
  r.times = times_;
  return r;
}

namespace {

using heddle::sizing::detail::duration;
using heddle::sizing::detail::number;

double seconds(std::chrono::nanoseconds time) noexcept {
  return std::chrono::duration<double>(time).count();
}

std::string_view to_word(when_full w) noexcept {
  switch (w) {
    case when_full::block:
      return "block";
    case when_full::reject:
      return "reject";
    case when_full::run_in_caller:
      return "run_in_caller";
    case when_full::drop_oldest:
      return "drop_oldest";
  }
  return "unknown";
}

std::vector<pool_report::option> set_options(const thread_pool_options& o) {
  const thread_pool_options usual;
  std::vector<pool_report::option> set;
  const auto add = [&](bool differs, const char* name, std::string value) {
    if (differs) set.push_back({name, std::move(value)});
  };
  const auto time = [](std::chrono::nanoseconds t) { return duration(seconds(t)); };
  add(o.workers != usual.workers, "workers", std::to_string(o.workers));
  if (o.sizing) {
    const std::string most = o.sizing->max == 0 ? "what there is" : std::to_string(o.sizing->max);
    add(true, "sizing", "from " + std::to_string(o.sizing->min) + " to " + most);
  }
  add(o.schedule != usual.schedule, "schedule", "fifo");
  if (o.queue_capacity != usual.queue_capacity) {
    add(true, "queue_capacity", std::to_string(o.queue_capacity));
    add(true, "overflow", std::string(to_word(o.overflow)));
  }
  add(o.aging != usual.aging, "aging", time(o.aging));
  add(o.affinity != usual.affinity, "affinity", o.affinity.to_string());
  add(o.thread_priority != usual.thread_priority, "thread_priority", o.thread_priority.describe());
  add(o.spin != usual.spin, "spin", time(o.spin));
  add(o.max_spares != usual.max_spares, "max_spares", std::to_string(o.max_spares));
  add(o.when_starved != usual.when_starved, "when_starved", "fail");
  add(o.spare_keep_alive != usual.spare_keep_alive, "spare_keep_alive", time(o.spare_keep_alive));
  add(o.measure_times, "measure_times", "on");
  add(o.stuck_after != usual.stuck_after, "stuck_after", time(o.stuck_after));
  for (const auto& [is_there, name] : {std::pair{bool(o.on_worker_start), "on_worker_start"},
                                       {bool(o.on_worker_stop), "on_worker_stop"},
                                       {bool(o.on_resize), "on_resize"},
                                       {bool(o.on_stuck), "on_stuck"},
                                       {o.core_count != nullptr, "core_count"}}) {
    add(is_there, name, "set");
  }
  return set;
}

}  // namespace

pool_report pool_core::full_report() {
  pool_report r;
  r.name = options_.name;
  r.age = prim::clock::now() - born_;
  r.options = set_options(options_);
  r.statistics = statistics();
  if (sizer_ != nullptr) r.sizing = sizer_->report();
  return r;
}

std::vector<sizing::logged_choice> pool_core::sizing_log() const {
  return sizer_ != nullptr ? sizer_->log() : std::vector<sizing::logged_choice>{};
}

void pool_core::set_sizing(bool on) noexcept {
  if (sizer_ != nullptr) sizer_->set_on(on);
}

bool pool_core::sizing_is_on() const noexcept { return sizer_ != nullptr && sizer_->is_on(); }

namespace {

// Lines of a word that says what they are about, and the rest.
class page {
 public:
  void line(std::string_view about, const std::string& rest) {
    constexpr std::size_t column = 12;
    std::string start = "  " + std::string(about);
    start.resize(std::max(column, start.size() + 1), ' ');
    text_ += start + rest + '\n';
  }
  void heading(const std::string& text) { text_ += text + '\n'; }
  std::string take() && { return std::move(text_); }

 private:
  std::string text_;
};

std::string level_name(std::size_t level) {
  switch (static_cast<priority>(level)) {
    case priority::highest:
      return "highest";
    case priority::high:
      return "high";
    case priority::normal:
      return "normal";
    case priority::low:
      return "low";
    case priority::lowest:
      return "lowest";
  }
  return "level " + std::to_string(level);
}

bool was_used(const level_statistics& l) noexcept { return l.submitted != 0 || l.queued != 0; }

std::size_t queued(const pool_statistics& s) noexcept {
  std::size_t all = 0;
  for (const level_statistics& l : s.levels) all += l.queued;
  return all;
}

double mean(std::chrono::nanoseconds total, std::uint64_t tasks) noexcept {
  return tasks == 0 ? 0 : seconds(total) / static_cast<double>(tasks);
}

double share_of_cores(const pool_report& r) noexcept {
  const double available = seconds(r.age) * r.sizing->cores;
  return available > 0 ? seconds(r.statistics.sizing_cpu) / available : 0;
}

std::string counted(std::uint64_t n, const char* what) { return std::to_string(n) + ' ' + what; }

void write_tasks(page& p, const pool_report& r) {
  const pool_statistics& s = r.statistics;
  p.line("tasks", counted(s.submitted, "submitted, ") + counted(s.completed, "completed, ") +
                      counted(s.started - s.completed, "running, ") +
                      counted(queued(s), "waiting"));
  if (s.discarded + s.refused + s.ran_in_caller + s.over_capacity != 0) {
    p.line("", counted(s.discarded, "discarded, ") + counted(s.dropped, "of them dropped, ") +
                   counted(s.refused, "refused, ") + counted(s.ran_in_caller, "run by callers, ") +
                   counted(s.over_capacity, "above the bound"));
  }
  const double age = seconds(r.age);
  if (age > 0) {
    const double rate = static_cast<double>(s.completed) / age;
    p.line("", number(rate < 100 ? rate : std::round(rate), 3) + " a second since the beginning");
  }
  if (s.times.tasks != 0) {
    p.line("times", "run " + duration(mean(s.times.run_total, s.times.tasks)) + " on average, " +
                        duration(seconds(s.times.run_max)) + " at most; wait " +
                        duration(mean(s.times.wait_total, s.times.tasks)) + " on average, " +
                        duration(seconds(s.times.wait_max)) + " at most");
  } else {
    p.line("times", "not measured (option measure_times)");
  }
  if (std::ranges::count_if(s.levels, was_used) > 1) {
    for (std::size_t i = 0; i < s.levels.size(); ++i) {
      const level_statistics& l = s.levels[i];
      if (!was_used(l)) continue;
      p.line(level_name(i), counted(l.submitted, "submitted, ") +
                                counted(l.completed, "completed, ") + counted(l.queued, "waiting"));
    }
  }
}

void write_workers(page& p, const pool_statistics& s) {
  p.line("workers", std::to_string(s.workers) + ", of which " + counted(s.idle, "idle"));
  p.line("threads", counted(s.threads, "now, ") + counted(s.peak_threads, "at most"));
  p.line("queues", counted(s.injected, "tasks in the shared ones, ") + std::to_string(s.min_queue) +
                       " to " + std::to_string(s.max_queue) + " in a worker's; balance " +
                       number(s.load_balance, 2));
  p.line("steals", counted(s.steals, "of ") + counted(s.steal_attempts, "attempts"));
  p.line("waits", counted(s.helped, "ran what they waited for, ") +
                      counted(s.blocked, "gave their worker away, ") +
                      counted(s.starved, "found no spare"));
  p.line("wake-ups", std::to_string(s.wakeups));
  if (s.misplaced != 0) p.line("misplaced", counted(s.misplaced, "times the kernel refused"));
}

std::string step_line(const sizing::logged_choice& c) {
  char step[64];
  if (c.why == sizing::cause::start) {
    std::snprintf(step, sizeof step, "%9.3f s         %4d   ", seconds(c.at), c.after);
  } else if (c.before == c.after) {
    std::snprintf(step, sizeof step, "%9.3f s    stays %3d   ", seconds(c.at), c.after);
  } else {
    std::snprintf(step, sizeof step, "%9.3f s  %4d -> %4d   ", seconds(c.at), c.before, c.after);
  }
  return step + std::string(to_string(c.why)) + (c.reason.empty() ? "" : ": ") + c.reason;
}

void write_sizing(page& p, const pool_report& r) {
  const sizing_report& s = *r.sizing;
  p.line("sizing",
         std::string(s.on ? "on" : "off") + ", from " + std::to_string(s.min) + " to " +
             std::to_string(s.max) +
             (s.most_now < s.max ? ", at present " + std::to_string(s.most_now) + " at most" : "") +
             "; " + number(s.cores, 3) + " usable cores");
  p.line("", counted(r.statistics.size_changes, "changes in ") +
                 counted(r.statistics.sizing_windows, "windows; it took ") +
                 duration(seconds(r.statistics.sizing_cpu)) + " of CPU, " +
                 number(100 * share_of_cores(r), 2) + " % of the cores' time");
  if (!s.log.empty()) p.heading("  decisions");
  for (const sizing::logged_choice& c : s.log) p.heading("  " + step_line(c));
}

void write(json_writer& json, const task_times& t) {
  json.open("times", '{').field("tasks", t.tasks);
  json.field("run_total", t.run_total).field("run_max", t.run_max);
  json.field("wait_total", t.wait_total).field("wait_max", t.wait_max).close('}');
}

void write(json_writer& json, const pool_statistics& s) {
  json.open("statistics", '{').field("workers", s.workers).field("threads", s.threads);
  json.field("peak_threads", s.peak_threads).field("idle", s.idle);
  json.field("submitted", s.submitted).field("started", s.started).field("completed", s.completed);
  json.field("discarded", s.discarded).field("helped", s.helped);
  json.field("steal_attempts", s.steal_attempts).field("steals", s.steals);
  json.open("robbed", '[');
  for (const std::uint64_t n : s.robbed) json.value(n);
  json.close(']').field("wakeups", s.wakeups).field("blocked", s.blocked);
  json.field("starved", s.starved).field("misplaced", s.misplaced);
  json.field("over_capacity", s.over_capacity).field("refused", s.refused);
  json.field("ran_in_caller", s.ran_in_caller).field("dropped", s.dropped);
  json.open("levels", '[');
  for (const level_statistics& l : s.levels) {
    json.open('{').field("submitted", l.submitted).field("completed", l.completed);
    json.field("queued", l.queued).close('}');
  }
  json.close(']').field("injected", s.injected).open("queue_sizes", '[');
  for (const std::size_t n : s.queue_sizes) json.value(n);
  json.close(']').field("min_queue", s.min_queue).field("max_queue", s.max_queue);
  json.field("load_balance", s.load_balance);
  write(json, s.times);
  json.close('}');
}

void write(json_writer& json, const sizing::window& w) {
  json.open("signals", '{').field("end", w.end).field("length", w.length);
  json.field("cores", w.cores).field("size", w.size).field("least", w.least).field("most", w.most);
  json.field("busy", w.busy).field("computing", w.computing).key("runnable");
  w.knows_runnable ? json.value(w.runnable) : json.null();
  json.field("completed", w.completed).field("queued", w.queued).key("voluntary_switches");
  w.knows_switches ? json.value(w.voluntary_switches) : json.null();
  json.key("foreign");
  w.knows_foreign ? json.value(w.foreign) : json.null();
  json.field("throttled", w.throttled).close('}');
}

void write(json_writer& json, const pool_report& r, const sizing_report& s) {
  json.open("sizing", '{').field("on", s.on).field("min", s.min).field("max", s.max);
  json.field("most_now", s.most_now).field("cores", s.cores);
  json.field("changes", r.statistics.size_changes).field("windows", r.statistics.sizing_windows);
  json.field("cpu", r.statistics.sizing_cpu).field("cpu_share", share_of_cores(r));
  json.open("log", '[');
  for (const sizing::logged_choice& c : s.log) {
    json.open('{').field("at", c.at).field("before", c.before).field("after", c.after);
    json.field("why", to_string(c.why)).field("reason", std::string_view(c.reason));
    write(json, c.signals);
    json.close('}');
  }
  json.close(']').close('}');
}

}  // namespace

}  // namespace detail

std::string pool_report::to_text() const {
  detail::page p;
  p.heading("pool \"" + name + "\", " +
            heddle::sizing::detail::duration(std::chrono::duration<double>(age).count()) + " old");
  for (const option& o : options) p.line("option", o.name + " = " + o.value);
  detail::write_tasks(p, *this);
  detail::write_workers(p, statistics);
  if (sizing) detail::write_sizing(p, *this);
  return std::move(p).take();
}

std::string pool_report::to_json() const {
  detail::json_writer json;
  json.open('{').field("name", std::string_view(name)).field("age", age).open("options", '{');
  for (const option& o : options) json.field(o.name, std::string_view(o.value));
  json.close('}');
  detail::write(json, statistics);
  if (sizing) detail::write(json, *this, *sizing);
  json.close('}');
  return std::move(json).take();
}

}  // namespace heddle::inline HEDDLE_ABI
