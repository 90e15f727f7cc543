#include "pool_sizing.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include <heddle/base/unhandled.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/scheduling.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr nanoseconds shortest_window = 1ms;
constexpr nanoseconds usual_window = 10ms;
constexpr nanoseconds longest_window = 10s;
constexpr nanoseconds bounds_interval = 1s;
constexpr nanoseconds first_retry = 1s;
constexpr nanoseconds longest_retry = 1min;

int check_bounds(const sizing::adaptive& wish) {
  constexpr int most = prim::limits::pool_sizes;
  const auto refuse = [](const char* what, int value, const std::string& why) {
    throw std::invalid_argument(std::string("thread_pool: sizing.") + what + ' ' +
                                std::to_string(value) + "; " + why);
  };
  if (wish.min < 1) refuse("min", wish.min, "the least is 1");
  if (wish.min > most) refuse("min", wish.min, "the most is " + std::to_string(most));
  if (wish.max < 0) refuse("max", wish.max, "it is a number of workers, or 0");
  if (wish.max > most) refuse("max", wish.max, "the most is " + std::to_string(most));
  if (wish.max != 0 && wish.max < wish.min) {
    refuse("max", wish.max, "it is below sizing.min, " + std::to_string(wish.min));
  }
  if (wish.make_law == nullptr) {
    throw std::invalid_argument("thread_pool: sizing.make_law is null");
  }
  return wish.max != 0 ? wish.max : most;
}

std::unique_ptr<sizing::law> make_law(const sizing::adaptive& wish) {
  auto made = wish.make_law();
  if (made == nullptr) throw std::invalid_argument("thread_pool: sizing.make_law made no law");
  return made;
}

nanoseconds window_length(nanoseconds asked) noexcept {
  return asked > 0ns ? std::clamp(asked, shortest_window, longest_window) : usual_window;
}

double seconds(nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

}  // namespace

void cpu_allowance::earn(nanoseconds time, double cores) noexcept {
  credit_ = std::min(most, credit_ + std::chrono::duration_cast<nanoseconds>(time * cores * share));
}

nanoseconds cpu_allowance::overdrawn_for(double cores) const noexcept {
  if (credit_ >= 0ns) return 0ns;
  return std::chrono::duration_cast<nanoseconds>(-credit_ / (cores * share));
}

pool_sizer::pool_sizer(pool_core& core, const sizing::adaptive& wish)
    : core_(core), min_(wish.min), most_(check_bounds(wish)), law_(make_law(wish)) {
  const auto now = prim::clock::now();
  booked_at_ = now;
  earned_until_ = now;
  update_bounds(now);
  first_ = law_->first(cores_, min_, most_now());
  first_.size = std::clamp(first_.size, min_, most_now());
  first_.look_again = window_length(first_.look_again);
  write_down({since_birth(now),
              0,
              first_.size,
              sizing::cause::start,
              first_.reason,
              {.cores = cores_, .size = first_.size, .least = min_, .most = most_now()}});
}

void pool_sizer::start() {
  const prim::scoped_lock lock(core_.threads_mutex_);
  core_.references_.fetch_add(1, prim::relaxed);
  try {
    thread_ = prim::thread([this] { main(); });
  } catch (...) {
    core_.references_.fetch_sub(1, prim::relaxed);
    throw;
  }
  started_ = true;
}

void pool_sizer::main() noexcept {
  install();
  for (;;) {
    try {
      run();
      break;
    } catch (const std::bad_alloc&) {
      pause_until(prim::clock::now() + usual_window);  // then it looks anew
    } catch (...) {
      // The law has failed. The size stays.
      report_unhandled(std::current_exception());
      on_.store(false, prim::relaxed);
    }
  }
  pool_core& core = core_;
  {
    const prim::scoped_lock lock(core.threads_mutex_);
    left_ = true;
  }
  core.stopped_event_.notify_all();
  core.release();  // may end the sizer, too
}

void pool_sizer::install() noexcept {
  constexpr std::string_view role = "/sizer";
  constexpr std::size_t kept_by_the_kernel = 15;
  const std::string& name = core_.options_.name;
  char text[kept_by_the_kernel + 1] = {};
  const std::size_t length = std::min(name.size(), kept_by_the_kernel - role.size());
  std::ranges::copy(role, std::copy_n(name.data(), length, text));
  prim::set_thread_name(text);
  if (core_.options_.thread_priority == prim::thread_priority{}) return;
  try {
    prim::set_this_thread_priority(core_.options_.thread_priority);
  } catch (...) {
    core_.misplaced_.add();
  }
}

bool pool_sizer::has_left() const noexcept { return !started_ || left_; }

void pool_sizer::join_if_left() noexcept {
  prim::thread gone;
  {
    const prim::scoped_lock lock(core_.threads_mutex_);
    if (!left_ || !thread_.joinable()) return;
    gone = std::move(thread_);
    ++core_.joining_;
  }
  gone.join();
  {
    const prim::scoped_lock lock(core_.threads_mutex_);
    --core_.joining_;
  }
  core_.stopped_event_.notify_all();
}

void pool_sizer::let_go() noexcept {
  if (thread_.joinable()) thread_.detach();
}

void pool_sizer::book(unsigned busy) noexcept {
  const auto now = prim::clock::now();
  busy_time_ += busy * (now - booked_at_);
  booked_at_ = now;
}

void pool_sizer::rouse() noexcept {
  if (!asleep_ || !is_on()) return;
  asleep_ = false;
  parker_.unpark();
}

void pool_sizer::set_on(bool on) noexcept {
  const prim::scoped_lock lock(core_.sleep_mutex_);
  if (on_.load(prim::relaxed) == on) return;
  on_.store(on, prim::relaxed);
  asleep_ = false;
  parker_.unpark();
}

// Windows follow each other as long as the pool has something to do. After a rest the first one is
// as short as the very first: what comes may be of another kind.
void pool_sizer::run() {
  while (rest()) {
    look_again_ = first_.look_again;
    look begin = take_look();
    earn(begin.at);
    for (;;) {
      pay();
      if (!pause_until(begin.at + pause_length())) break;
      const look end = take_look();
      earn(end.at);
      update_bounds(end.at);
      is_quiet_ = end.completed == begin.completed && begin.queued == 0 && end.queued == 0;
      const bool changed = decide(between(begin, end));
      if (may_rest()) break;
      begin = changed ? take_look() : end;
    }
  }
  pay();
}

bool pool_sizer::may_rest() noexcept {
  const prim::scoped_lock lock(core_.sleep_mutex_);
  return core_.is_at_rest(is_quiet_);
}

// Asleep while there is nothing to be learnt. False when the pool stops.
bool pool_sizer::rest() noexcept {
  for (;;) {
    {
      const prim::scoped_lock lock(core_.sleep_mutex_);
      if (core_.stopping_.load(prim::relaxed)) return false;
      if (is_on() && !core_.is_at_rest(is_quiet_)) return true;
      asleep_ = true;
    }
    pay();
    parker_.park();
    is_quiet_ = false;
    if (is_on() && !core_.stopping_.load(prim::acquire)) return true;
  }
}

// False when the pool stops, or sizing was turned off, before.
bool pool_sizer::pause_until(prim::time_point when) noexcept {
  while (is_on() && !core_.stopping_.load(prim::acquire)) {
    if (!parker_.park_until(when)) return true;
  }
  return false;
}

nanoseconds pool_sizer::pause_length() const noexcept {
  return std::max(look_again_, allowance_.overdrawn_for(cores_));
}

nanoseconds pool_sizer::since_birth(prim::time_point t) const noexcept { return t - core_.born_; }

void pool_sizer::earn(prim::time_point until) noexcept {
  allowance_.earn(until - std::exchange(earned_until_, until), cores_);
}

void pool_sizer::pay() noexcept {
  const auto now = pool_signals::own_cpu_time();
  const auto used = now - std::exchange(paid_, now);
  allowance_.spend(used);
  cpu_time_.store(now.count(), prim::relaxed);
}

pool_sizer::look pool_sizer::take_look() {
  threads_.clear();
  {
    const prim::scoped_lock lock(core_.threads_mutex_);
    for (const auto& w : core_.workers_) {
      const int id = w->has_left ? 0 : w->kernel_id.load(prim::relaxed);
      if (id != 0) threads_.push_back({w->index, id});
    }
  }
  look s;
  s.completed = core_.completed_.read();
  for (const auto& each : core_.slots()) s.completed += each->completed.read();
  s.queued = core_.queued_jobs();
  s.threads = signals_.look_at_threads(threads_);
  const prim::scoped_lock lock(core_.sleep_mutex_);
  s.busy = std::exchange(busy_time_, nanoseconds{});
  s.at = booked_at_;
  return s;
}

sizing::window pool_sizer::between(const look& begin, const look& end) {
  const auto& around = signals_.look_around(end.at);
  sizing::window w;
  w.end = since_birth(end.at);
  w.length = std::max(end.at - begin.at, prim::clock::duration(1));
  w.cores = cores_;
  w.size = static_cast<int>(core_.size());
  w.least = min_;
  w.most = most_now();
  w.busy = seconds(end.busy) / seconds(w.length);
  w.computing = end.threads.computing;
  // A wait is booked where it ends, in one sum with what came before this window.
  w.runnable = std::min(end.threads.runnable, std::max(0.0, w.busy - w.computing));
  w.knows_runnable = end.threads.knows_runnable;
  // Whoever is put on a CPU has slept, or was preempted: rarely, where few are runnable.
  w.voluntary_switches = end.threads.slices;
  w.knows_switches = end.threads.knows_runnable;
  w.completed = end.completed - begin.completed;
  w.queued = std::min(begin.queued, end.queued);
  w.foreign = around.foreign;
  w.knows_foreign = around.knows_foreign;
  w.throttled = around.throttled;
  return w;
}

// True when the size has changed.
bool pool_sizer::decide(const sizing::window& window) {
  windows_.fetch_add(1, prim::relaxed);
  sizing::window now = window;
  if (core_.refused_threads_.read() != refused_seen_) {
    if (cap_threads(now)) return true;
    now.most = most_now();
  }
  sizing::choice c = law_->next(now);
  c.size = std::clamp(c.size, now.least, now.most);
  look_again_ = window_length(c.look_again);
  if (c.size == now.size) {
    if (c.why != sizing::cause::nothing_new) {
      write_down({now.end, now.size, now.size, c.why, std::move(c.reason), now});
    }
    return false;
  }
  apply(now, c);
  return true;
}

void pool_sizer::apply(const sizing::window& now, const sizing::choice& c) {
  int size = c.size;
  std::string reason = c.reason;
  if (c.why == sizing::cause::bounds && size == headroom_.most && !headroom_.reason.empty()) {
    reason += (reason.empty() ? "" : "; ") + headroom_.reason;
  }
  try {
    core_.make_slots(static_cast<unsigned>(size));
  } catch (const std::bad_alloc&) {
    size = static_cast<int>(core_.slots().size());
    reason += "; there is no memory for more";
  }
  if (!core_.set_limit(static_cast<unsigned>(size))) return;
  steps_.fetch_add(1, prim::relaxed);
  const bool manned = size <= now.size || core_.man_slots(now.queued);
  write_down({now.end, now.size, size, c.why, std::move(reason), now});
  if (!manned && core_.refused_threads_.read() != refused_seen_) cap_threads(now);
}

// The system has refused a thread. There are no more workers than threads, until it is asked again.
// True when the size has changed.
bool pool_sizer::cap_threads(const sizing::window& now) {
  const bool is_news = thread_cap_ == 0;
  refused_seen_ = core_.refused_threads_.read();
  if (is_news) {
    retry_after_ = retry_after_ == 0ns ? first_retry : std::min(2 * retry_after_, longest_retry);
    retry_at_ = prim::clock::now() + retry_after_;
  }
  {
    const prim::scoped_lock lock(core_.sleep_mutex_);
    thread_cap_ = std::max(min_, static_cast<int>(core_.threads_ - core_.leaving_));
  }
  tell_bounds();
  const int before = static_cast<int>(core_.size());
  const int after = std::min(before, thread_cap_);
  const bool changes = after != before;
  if (changes && !core_.set_limit(static_cast<unsigned>(after))) return false;
  if (changes) steps_.fetch_add(1, prim::relaxed);
  if (changes || is_news) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(retry_at_ - prim::clock::now());
    write_down({since_birth(prim::clock::now()), before, after, sizing::cause::bounds,
                "the system refused a thread; it is asked again in " +
                    std::to_string(std::max<std::int64_t>(1, left.count())) + " s",
                now});
  }
  return changes;
}

int pool_sizer::most_now() const noexcept {
  return std::max(min_, thread_cap_ != 0 ? std::min(thread_cap_, headroom_.most) : headroom_.most);
}

// What the cores, and the limits of the process, allow now.
void pool_sizer::update_bounds(prim::time_point now) {
  if (now >= retry_at_) {
    if (thread_cap_ != 0) {
      thread_cap_ = 0;
      core_.look_again();  // nobody else may be left to ask for the thread
    } else if (now - retry_at_ >= retry_after_) {
      retry_after_ = 0ns;  // there have been enough of them for as long as before
    }
  }
  if (signals_.throttled_since() || now - cores_read_at_ >= bounds_interval) {
    cores_read_at_ = now;
    cores_ = std::max(core_.cores_now(), 0.01);
  }
  if (now - headroom_read_at_ >= bounds_interval) {
    headroom_read_at_ = now;
    headroom_ = signals_.headroom(static_cast<int>(core_.size()), most_, now);
  }
  tell_bounds();
}

void pool_sizer::tell_bounds() noexcept {
  const prim::scoped_lock lock(log_mutex_);
  reported_cores_ = cores_;
  reported_most_ = most_now();
}

void pool_sizer::write_down(const sizing::logged_choice& entry) noexcept {
  try {
    const prim::scoped_lock lock(log_mutex_);
    if (log_.size() < log_capacity) {
      log_.push_back(entry);
    } else {
      log_[log_begin_] = entry;
      log_begin_ = (log_begin_ + 1) % log_capacity;
    }
  } catch (...) {
    // Without memory the log has a gap.
  }
  if (!started_ || !core_.options_.on_resize) return;
  try {
    core_.options_.on_resize(entry);
  } catch (...) {
    report_unhandled(std::current_exception());
  }
  if (!core_.is_of_this_process()) core_.end_forked_task();
}

std::vector<sizing::logged_choice> pool_sizer::log() const {
  const prim::scoped_lock lock(log_mutex_);
  std::vector<sizing::logged_choice> in_order(
      log_.begin() + static_cast<std::ptrdiff_t>(log_begin_), log_.end());
  in_order.insert(in_order.end(), log_.begin(),
                  log_.begin() + static_cast<std::ptrdiff_t>(log_begin_));
  return in_order;
}

void pool_sizer::add_to(pool_statistics& s) const noexcept {
  s.size_changes = steps_.load(prim::relaxed);
  s.sizing_windows = windows_.load(prim::relaxed);
  s.sizing_cpu = nanoseconds(cpu_time_.load(prim::relaxed));
}

sizing_report pool_sizer::report() const {
  sizing_report r;
  r.on = is_on();
  r.min = min_;
  r.max = most_;
  r.log = log();
  const prim::scoped_lock lock(log_mutex_);
  r.most_now = reported_most_;
  r.cores = reported_cores_;
  return r;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
