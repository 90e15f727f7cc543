#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <heddle/exec/profile.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/topology.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/sizing/size_search.hpp>

#include "exec/profile_load.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Tasks from here on are slow: each worker runs one at a time, and few are asked for.
constexpr nanoseconds slow_task = 500ms;
constexpr nanoseconds very_slow_task = 5s;
// Tasks up to here cost the pool as much as themselves.
constexpr nanoseconds tiny_task = 1us;

// Of the whole process.
struct usage {
  nanoseconds cpu{};
  std::uint64_t voluntary_switches = 0;
  std::optional<nanoseconds> runnable{};  // nothing when the kernel does not tell
};

void read_usage(usage& u) noexcept {
  timespec cpu{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  rusage all{};
  ::getrusage(RUSAGE_SELF, &all);
  u.cpu = std::chrono::seconds(cpu.tv_sec) + nanoseconds(cpu.tv_nsec);
  u.voluntary_switches = static_cast<std::uint64_t>(all.ru_nvcsw);
}

// Takes some 5 us a thread.
void read_runnable(usage& u) {
  const pid_t self = ::getpid();
  for (const pid_t thread : kernel::list_threads(self)) {
    if (const auto s = kernel::read_schedstat(self, thread))
      u.runnable = u.runnable.value_or(0ns) + s->waiting;
  }
}

// Around a window of time: what takes long to read lies outside.
usage usage_before() {
  usage u;
  read_runnable(u);
  read_usage(u);
  return u;
}
usage usage_after() {
  usage u;
  read_usage(u);
  read_runnable(u);
  return u;
}

std::string to_text(nanoseconds t) {
  if (t % 1s == 0ns) return std::to_string(t / 1s) + " s";
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(t).count()) + " ms";
}

// What was seen from the opening of the window to its closing. The time is cut to whole tasks.
std::optional<sizing::measurement> measured(int size, nanoseconds length, const counted& seen,
                                            const usage& before, const usage& after) {
  if (seen.tasks <= 0 || length <= 0ns) return std::nullopt;
  sizing::measurement m;
  m.size = size;
  m.tasks = static_cast<std::uint64_t>(std::max(1.0, std::round(seen.tasks)));
  const double whole = static_cast<double>(m.tasks) / seen.tasks;
  const auto of_whole_tasks = [whole](nanoseconds t) {
    return nanoseconds(std::llround(static_cast<double>(t.count()) * whole));
  };
  m.elapsed = std::max(of_whole_tasks(length), 1ns);
  m.in_tasks = of_whole_tasks(seen.in_tasks);
  m.cpu = of_whole_tasks(after.cpu - before.cpu);
  if (before.runnable && after.runnable)
    m.runnable = of_whole_tasks(std::max(*after.runnable - *before.runnable, 0ns));
  const auto switches = static_cast<double>(after.voluntary_switches - before.voluntary_switches);
  m.voluntary_switches = static_cast<std::uint64_t>(std::llround(switches * whole));
  return m;
}

sizing::search_options search_options_of(const profile_options& o, nanoseconds task_time) {
  sizing::search_options s;
  s.sizes = o.sizes;
  s.most = o.most;
  s.precision = o.precision;
  s.tolerance = o.tolerance;
  s.min_repetitions = o.min_repetitions;
  s.max_repetitions = o.max_repetitions;
  if (task_time >= slow_task) {
    s.min_repetitions = 1;
    s.max_repetitions = std::min(s.max_repetitions, task_time < very_slow_task ? 2 : 1);
  }
  return s;
}

class profiler {
 public:
  profiler(profiled_task task, profile_options options)
      : options_(std::move(options)),
        begun_(prim::clock::now()),
        deadline_(prim::deadline_after(options_.time_limit)),
        load_(task),
        on_stop_(options_.stop, end_load{&load_}) {}

  sizing::profile_report run() {
    sizing::size_search search(search_options_of(options_, 0ns));  // refuses bad options
    calibrate();
    search = sizing::size_search(search_options_of(options_, task_time_));
    if (alone_ && wants(1)) search.add(*alone_);
    measure_sizes(search);
    load_.rethrow_failure();
    sizing::profile_report report = report_of(search);
    if (options_.with_adaptive && !load_.over()) {
      if (auto rival = run_adaptive(search)) report.rivals.push_back(std::move(*rival));
      load_.rethrow_failure();
    }
    return report;
  }

 private:
  struct end_load {
    profile_load* load;
    void operator()() const noexcept { load->end(); }
  };

  nanoseconds passed() const { return prim::clock::now() - begun_; }

  bool has_time_for(nanoseconds t) const { return deadline_ - prim::clock::now() > t; }

  // Of the adaptive pool: until its size is right, and then.
  nanoseconds settling() const { return std::max<nanoseconds>(700ms, 8 * task_time_); }
  nanoseconds watching() const { return std::max<nanoseconds>(300ms, 4 * task_time_); }
  // What the sizes leave to it.
  nanoseconds reserved() const {
    if (!options_.with_adaptive) return 0ns;
    return std::min(settling() + watching(), options_.time_limit / 4);
  }

  bool wants(int size) const {
    return options_.sizes.empty() ||
           std::find(options_.sizes.begin(), options_.sizes.end(), size) != options_.sizes.end();
  }

  // How long a task takes that is alone. When it is slow, that is a measurement, too.
  void calibrate() {
    constexpr nanoseconds enough = 10ms;
    constexpr std::uint64_t most_calls = std::uint64_t{1} << 20;
    announce(1, 0, 1);
    thread_pool pool(1);
    nanoseconds shortest = nanoseconds::max();
    const usage before = usage_before();
    // The first call is often slower than the others, and any may be interrupted.
    nanoseconds took{};
    for (std::uint64_t count = 1; took < enough && count <= most_calls; count *= 2) {
      load_.prepare(1);
      const auto begin = load_.open();
      pool.submit([this, count] {
            for (std::uint64_t i = 0; i < count; ++i) load_.run(std::nullopt);
          })
          .get();
      took = prim::clock::now() - begin;
      if (load_.over()) return;
      const counted seen = load_.result();
      shortest = std::min(shortest, seen.in_tasks / static_cast<std::int64_t>(count));
      if (count == 1 && shortest >= slow_task)
        alone_ = measured(1, took, seen, before, usage_after());
    }
    task_time_ = shortest;
  }

  void measure_sizes(sizing::size_search& search) {
    nanoseconds longest = alone_ ? task_time_ : 0ns;
    int largest = 1;
    while (!load_.over()) {
      const std::optional<int> size = search.next();
      if (!size) return;
      const auto so_far = search.how_far();
      announce(*size, so_far.done, std::max(so_far.expected, so_far.done + 1));
      const nanoseconds expected = *size > largest ? 2 * longest : longest;
      if (so_far.done > 0 && !has_time_for(expected + reserved())) {
        why_incomplete_ = "the time limit of " + to_text(options_.time_limit) +
                          " was reached before enough was known";
        return;
      }
      const auto begin = prim::clock::now();
      try {
        if (const auto m = measure(*size)) search.add(*m);
      } catch (const std::system_error& e) {
        refused_.push_back("Size " + std::to_string(*size) + " could not be had: " + e.what() +
                           ".");
        search.refuse(*size);
        continue;
      }
      longest = std::max(longest, nanoseconds(prim::clock::now() - begin));
      largest = std::max(largest, *size);
    }
  }

  // Nothing when it was interrupted. Throws std::system_error when there are not so many threads.
  std::optional<sizing::measurement> measure(int size) {
    thread_pool_options o;
    o.workers = static_cast<unsigned>(size);
    o.name = "profile";
    thread_pool pool(std::move(o));
    return task_time_ >= slow_task ? measure_one_each(pool, size) : measure_flow(pool, size);
  }

  // A task for each worker, from the first one's beginning to the last one's end.
  std::optional<sizing::measurement> measure_one_each(thread_pool& pool, int size) {
    load_.prepare(pool.worker_index_limit());
    const usage before = usage_before();
    const auto begin = load_.open();
    pool.post_bulk(size, [this](std::size_t) { load_.run(std::nullopt); });
    static_cast<void>(pool.wait_idle());
    const nanoseconds length = load_.close() - begin;
    const usage after = usage_after();
    if (load_.over()) return std::nullopt;
    return measured(size, length, load_.result(), before, after);
  }

  // A part of a steady flow of tasks, begun when all workers have had some.
  std::optional<sizing::measurement> measure_flow(thread_pool& pool, int size) {
    const nanoseconds warm_up = std::max<nanoseconds>(options_.measurement / 10, task_time_);
    const nanoseconds length = std::max<nanoseconds>(options_.measurement, 2 * task_time_);
    auto m = watch(pool, warm_up, length, size);
    // A worker spends more time between such tasks than in them.
    if (m && task_time_ <= tiny_task) m->in_tasks.reset();
    return m;
  }

  std::optional<sizing::measurement> watch(thread_pool& pool, nanoseconds warm_up,
                                           nanoseconds length, int size) {
    // More than any machine gets through meanwhile; what is left is given up.
    constexpr std::uint64_t plenty = std::uint64_t{1} << 31;
    load_.prepare(pool.worker_index_limit());
    pool.post_bulk(plenty, [this, &pool](std::size_t) { load_.run(pool.worker_index()); });
    load_.over_by(prim::clock::now() + warm_up);
    // With many more workers than cores, some get a core for the first time much later.
    const auto latest = prim::clock::now() + std::max<nanoseconds>(200ms, 4 * task_time_);
    while (load_.workers_started() < static_cast<unsigned>(size) && prim::clock::now() < latest &&
           !load_.over_by(prim::clock::now() + 1ms)) {
    }
    const usage before = usage_before();
    const auto begin = load_.open();
    load_.over_by(begin + length);
    const nanoseconds took = load_.close() - begin;
    const usage after = usage_after();
    pool.shutdown(shutdown_mode::cancel);
    if (load_.over()) return std::nullopt;
    return measured(size, took, load_.result(), before, after);
  }

  // The adaptive pool, watched when it has had time to settle.
  std::optional<sizing::rival_size> run_adaptive(const sizing::size_search& search) {
    int largest = 1;
    for (const sizing::measurement& m : search.measurements()) largest = std::max(largest, m.size);
    if (!has_time_for(settling() + watching())) return std::nullopt;
    announce(0, search.how_far().done, search.how_far().done + 1);
    thread_pool_options o;
    o.sizing = sizing::adaptive{.min = 1,
                                .max = std::min(options_.sizes.empty() ? options_.most : largest,
                                                prim::limits::pool_sizes)};
    o.name = "profile";
    thread_pool pool(std::move(o));
    const auto m = watch(pool, settling(), watching(), 1);
    if (!m) return std::nullopt;
    sizing::rival_size rival{.name = "adaptive pool", .throughput = m->throughput()};
    for (const sizing::logged_choice& c : pool.sizing_log()) {
      rival.size = c.after;
      rival.reason = c.reason;
    }
    return rival;
  }

  void announce(int size, int measured, int expected) {
    if (!options_.on_progress) return;
    options_.on_progress({size, measured, expected, passed()});
  }

  sizing::profile_report report_of(const sizing::size_search& search) {
    sizing::report_options o;
    o.workload = options_.name;
    o.cores = kernel::usable_cores();
    o.physical_cores = kernel::read_cores().physical_cores();
    o.tolerance = options_.tolerance;
    sizing::profile_report report = sizing::make_report(search.measurements(), o);
    if (load_.over()) why_incomplete_ = "a stop was requested";
    if (!why_incomplete_.empty()) {
      report.complete = false;
      report.remarks.push_back("Incomplete: " + why_incomplete_ + ".");
    }
    report.remarks.insert(report.remarks.end(), refused_.begin(), refused_.end());
    if (task_time_ >= slow_task) {
      report.remarks.push_back("A task takes " + to_text(task_time_) +
                               ", so each worker ran one at a time, and few times: small "
                               "differences mean nothing.");
    } else if (task_time_ <= tiny_task) {
      report.remarks.push_back("A task takes " + std::to_string(task_time_.count()) +
                               " ns: what was measured is for the most part the pool.");
    }
    add_imprecise(report, search.imprecise());
    return report;
  }

  void add_imprecise(sizing::profile_report& report, const std::vector<int>& sizes) const {
    if (sizes.empty() || task_time_ >= slow_task) return;
    std::string text;
    for (const int size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
    report.remarks.push_back(
        "Not known as exactly as asked for, after " + std::to_string(options_.max_repetitions) +
        " repetitions: " + (sizes.size() == 1 ? "size " : "sizes ") + text + ".");
  }

  const profile_options options_;
  const prim::time_point begun_;
  const prim::time_point deadline_;
  nanoseconds task_time_ = 1ms;  // a guess, until it is known
  std::optional<sizing::measurement> alone_;
  std::string why_incomplete_;
  std::vector<std::string> refused_;
  profile_load load_;
  prim::stop_callback<end_load> on_stop_;
};

void check(const profile_options& o) {
  constexpr int most_workers = 1 << 16;  // of any pool
  const auto check_size = [](const char* what, int size) {
    if (size > most_workers)
      throw std::invalid_argument(std::string("profile: ") + what + ' ' + std::to_string(size) +
                                  ", the most is " + std::to_string(most_workers));
  };
  for (const int size : o.sizes) check_size("size", size);
  check_size("most", o.most);
  if (o.measurement <= 0ns)
    throw std::invalid_argument("profile: measurement is " + std::to_string(o.measurement.count()) +
                                " ns, must be above 0");
  if (o.time_limit <= 0ns)
    throw std::invalid_argument("profile: time_limit is " + std::to_string(o.time_limit.count()) +
                                " ns, must be above 0");
}

}  // namespace

sizing::profile_report run_profile(profiled_task task, profile_options options) {
  check(options);
  return profiler(task, std::move(options)).run();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
