#include <heddle/watch/watchdog.hpp>

#include <heddle/base/unhandled.hpp>
#include <heddle/exec/task_options.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/lock_probe.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "watch/wait_scan.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace {

using detail::knot;
using detail::seen_wait;
using detail::wait_scan;
using identity = wait_scan::identity;

// What the process notes for its watchdogs, as long as there is one. It was asked for by the first
// and is given back by the last. A fork never meets the lock held.
class notes {
 public:
  static void begin() {
    const prim::no_fork undivided;
    const prim::scoped_lock lock(mutex);
    if (watchdogs++ == 0) tracked_before = track_lock_owners(true);
  }
  static void end() {
    const prim::no_fork undivided;
    const prim::scoped_lock lock(mutex);
    if (--watchdogs == 0) track_lock_owners(tracked_before);
  }
  static void begin_recording() {
    const prim::no_fork undivided;
    const prim::scoped_lock lock(mutex);
    if (recorders++ != 0) return;
    recorded_before = record_locks(lock_recording::sampled);
    if (recorded_before == lock_recording::all) record_locks(lock_recording::all);
  }
  static void end_recording() {
    const prim::no_fork undivided;
    const prim::scoped_lock lock(mutex);
    if (--recorders == 0) record_locks(recorded_before);
  }

 private:
  static constinit prim::mutex mutex;
  static constinit int watchdogs HEDDLE_GUARDED_BY(mutex);
  static constinit int recorders HEDDLE_GUARDED_BY(mutex);
  static constinit bool tracked_before HEDDLE_GUARDED_BY(mutex);
  static constinit lock_recording recorded_before HEDDLE_GUARDED_BY(mutex);
};

constinit prim::mutex notes::mutex;
constinit int notes::watchdogs = 0;
constinit int notes::recorders = 0;
constinit bool notes::tracked_before = false;
constinit lock_recording notes::recorded_before = lock_recording::off;

void print(const std::string& text) { std::fprintf(stderr, "heddle: %s", text.c_str()); }

template <class T>
void tell(const std::function<void(const T&)>& handler, const T& what) noexcept {
  try {
    if (handler) {
      handler(what);
    } else {
      print(what.to_text());
    }
  } catch (...) {
    report_unhandled(std::current_exception());
  }
}

void check(std::chrono::nanoseconds duration, const char* what) {
  if (duration.count() >= 0) return;
  throw std::invalid_argument("watchdog: a " + std::string(what) + " of " +
                              std::to_string(duration.count()) + " ns is negative");
}

}  // namespace

std::string starvation::to_text() const {
  return thread.to_text() + ", which others have had " + std::to_string(passed_over) +
         " times meanwhile\n";
}

std::string priority_inversion::to_text() const {
  return thread.to_text() + ": a task of priority " + std::to_string(level) +
         " waits for thread \"" + slower.name + "\", which runs one of priority " +
         std::to_string(slower_level) + "\n";
}

class watchdog::core {
 public:
  explicit core(watchdog_options o) : options_(std::move(o)) {
    check(options_.period, "period");
    check(options_.long_wait, "long wait");
    notes::begin();
    if (options_.record_locks) notes::begin_recording();
    try {
      if (options_.period.count() > 0) thread_ = prim::thread([this] { main(); });
    } catch (...) {
      forget();
      throw;
    }
  }
  ~core() {
    {
      const prim::scoped_lock lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    forget();
  }
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  void scan() {
    if (generation != prim::fork_generation()) return;
    const prim::scoped_lock lock(scanning_);
    const wait_scan seen;
    look_for_deadlocks(seen);
    look_for_long_waits(seen);
    if (options_.inversions) look_for_inversions(seen);
    known_ = std::move(now_);
    now_.clear();
    scans_.fetch_add(1, std::memory_order_release);
  }

  // In a child of fork, which leaves alone what the parent's threads were in the middle of.
  void let_go() { forget(); }

  const unsigned generation = prim::fork_generation();
  std::uint64_t scans() const noexcept { return scans_.load(std::memory_order_acquire); }
  std::uint64_t deadlocks() const noexcept { return deadlocks_.load(std::memory_order_acquire); }

 private:
  // What is known of one wait from the scans before.
  struct history {
    std::uint64_t acquisitions_at_first = 0;
    bool is_starvation_told = false;
    bool is_length_told = false;
    bool is_inversion_told = false;
  };

  void main() noexcept {
    prim::set_thread_name("heddle-watchdog");
    for (;;) {
      {
        const prim::scoped_lock lock(mutex_);
        const prim::time_point next = prim::deadline_after(options_.period);
        while (!ending_ && wake_.wait_until(mutex_, next)) {
        }
        if (ending_) return;
      }
      try {
        scan();
      } catch (...) {
        report_unhandled(std::current_exception());
      }
    }
  }

  void forget() noexcept {
    if (options_.record_locks) notes::end_recording();
    notes::end();
  }

  // A knot that was there in the last scan with the same waits and edges is a deadlock.
  void look_for_deadlocks(const wait_scan& seen) HEDDLE_REQUIRES(scanning_) {
    std::set<wait_scan::signature> suspected;
    std::set<identity> still_told;
    for (const knot& k : seen.knots()) {
      const auto [signature, is_new] = suspected.insert(seen.sign(k));
      if (suspected_.contains(*signature)) tell_of(seen, k);
      for (const std::size_t i : k.waits) {
        if (told_.contains(seen.id(i))) still_told.insert(seen.id(i));
      }
    }
    suspected_ = std::move(suspected);
    told_ = std::move(still_told);
  }

  void tell_of(const wait_scan& seen, const knot& k) HEDDLE_REQUIRES(scanning_) {
    bool was_told = false;
    for (const std::size_t i : k.waits) was_told = was_told || told_.contains(seen.id(i));
    const bool breaks = options_.policy == deadlock_policy::interrupt && k.is_certain;
    if (was_told && !breaks) return;
    deadlock found = seen.describe(k, detail::thread_naming());
    if (breaks) found.interrupted = interrupt_one(seen, k, found.to_text());
    if (was_told && found.interrupted == 0) return;
    for (const std::size_t i : k.waits) told_.insert(seen.id(i));
    deadlocks_.fetch_add(1, std::memory_order_release);
    tell(options_.on_deadlock, found);
  }

  // Returns its number, or 0.
  static std::uint32_t interrupt_one(const wait_scan& seen, const knot& k,
                                     const std::string& verdict) {
    std::vector<const seen_wait*> waits;
    for (const std::size_t i : k.waits) {
      if (seen.waits()[i].interruptible) waits.push_back(&seen.waits()[i]);
    }
    std::ranges::sort(waits, std::ranges::greater(), &seen_wait::since);
    for (const seen_wait* w : waits) {
      char* const text = strndup(verdict.data(), verdict.size() - 1);  // a line of its own ends it
      if (text == nullptr) return 0;
      if (detail::interrupt_wait(w->thread, w->serial, text)) return w->thread;
      std::free(text);
    }
    return 0;
  }

  void look_for_long_waits(const wait_scan& seen) HEDDLE_REQUIRES(scanning_) {
    for (std::size_t i = 0; i < seen.waits().size(); ++i) {
      const seen_wait& w = seen.waits()[i];
      const auto before = known_.find(seen.id(i));
      history& h = now_[seen.id(i)];
      h = before != known_.end() ? before->second
                                 : history{.acquisitions_at_first = w.acquisitions};
      const std::uint64_t passed_over =
          w.acquisitions - std::min(w.acquisitions, h.acquisitions_at_first);
      if (!h.is_starvation_told && options_.passed_over != 0 &&
          passed_over >= options_.passed_over) {
        h.is_starvation_told = true;
        tell(options_.on_starvation,
             starvation{seen.describe(i, detail::thread_naming()), passed_over});
      }
      if (h.is_length_told || options_.long_wait.count() == 0 || w.ends_by_itself) continue;
      if (w.kind == wait_kind::external || prim::clock::now() - w.since < options_.long_wait)
        continue;
      h.is_length_told = true;
      const waiting_thread t = seen.describe(i, detail::thread_naming());
      if (options_.on_long_wait) {
        tell(options_.on_long_wait, t);
      } else {
        print(t.to_text() + "\n");
      }
    }
  }

  // Of those that were there in the last scan, too.
  void look_for_inversions(const wait_scan& seen) HEDDLE_REQUIRES(scanning_) {
    std::map<std::uint32_t, unsigned> priorities;
    for (const detail::seen_thread& t : detail::threads_on_the_board()) {
      constexpr auto normal = static_cast<unsigned>(priority::normal);
      if (t.is_worker) priorities[t.number] = t.level == 0 ? normal : t.level - 1U;
    }
    for (std::size_t i = 0; i < seen.waits().size(); ++i) {
      const seen_wait& w = seen.waits()[i];
      const auto mine = priorities.find(w.thread);
      if (w.task_count == 0 || w.over || seen.needs(i).are_suspects) continue;
      if (mine == priorities.end() || !known_.contains(seen.id(i))) continue;
      history& h = now_[seen.id(i)];
      for (const std::uint32_t thread : seen.needs(i).threads) {
        const auto its = priorities.find(thread);
        if (h.is_inversion_told || its == priorities.end() || its->second <= mine->second) continue;
        h.is_inversion_told = true;
        const detail::thread_naming names;
        tell(options_.on_inversion,
             priority_inversion{
                 seen.describe(i, names), mine->second, {thread, names.name(thread)}, its->second});
      }
    }
  }

  const watchdog_options options_;

  prim::mutex scanning_;
  std::set<wait_scan::signature> suspected_ HEDDLE_GUARDED_BY(scanning_);  // in the last scan
  std::set<identity> told_ HEDDLE_GUARDED_BY(scanning_);
  std::map<identity, history> known_ HEDDLE_GUARDED_BY(scanning_);  // from the last scan
  std::map<identity, history> now_ HEDDLE_GUARDED_BY(scanning_);    // in this one
  std::atomic<std::uint64_t> scans_{0};
  std::atomic<std::uint64_t> deadlocks_{0};

  prim::mutex mutex_;
  prim::condition_variable wake_;
  bool ending_ HEDDLE_GUARDED_BY(mutex_) = false;
  prim::thread thread_;
};

watchdog::watchdog(watchdog_options options) : core_(std::make_unique<core>(std::move(options))) {}

watchdog::~watchdog() {
  if (core_->generation == prim::fork_generation()) return;
  core* const parents = core_.release();
  parents->let_go();
}

void watchdog::scan() { core_->scan(); }
std::uint64_t watchdog::scans() const noexcept { return core_->scans(); }
std::uint64_t watchdog::deadlocks() const noexcept { return core_->deadlocks(); }

}  // namespace heddle::inline HEDDLE_ABI
