// The instrument in everything that blocks: a name, statistics, and who owns it now.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_statistics.hpp>
#include <heddle/probe/wait_record.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class lock_recording : std::uint8_t {
  off,
  sampled,  // counts and waits of all acquisitions, hold times of about one in sixteen
  all,      // and all hold times
};

// What is recorded of every lock of the process, from now on. An object records the more of this
// and of what it was told itself (lock_probe::record). An object without a name is recorded from
// its first contended acquisition on. Returns what was set before.
// The first time that anything is recorded takes 200 microseconds, to measure the cycle counter.
HEDDLE_API lock_recording record_locks(lock_recording what) noexcept;

// Whether locks note who owns them, for a watchdog that looks for deadlocks. Those that were
// acquired before it was switched on tell nobody. Returns what was set before.
HEDDLE_API bool track_lock_owners(bool on) noexcept;

// Whether unlocking what is not locked, or locked by another thread, and locking what the thread
// itself holds end the process with a message that names the lock. From the start in a debug build
// of the library (without NDEBUG); else such calls are undefined. Tracks owners. Returns what was
// set before.
HEDDLE_API bool check_locks(bool on) noexcept;

// An acquisition that waited too long.
struct long_wait {
  wait_kind kind;
  std::string_view name;  // empty when it has none
  const void* object;
  std::chrono::nanoseconds waited;
};
using long_wait_handler = void (*)(const long_wait&) noexcept;

// Tells of waits for recorded objects that took `threshold` or longer; null tells nobody, and they
// are only counted (as at first, from 10 ms on). The handler runs on the thread that waited, when
// the wait is over: it may hold the lock, so it must be brief, and must not use that lock.
// Throws std::invalid_argument for a negative threshold.
HEDDLE_API void set_long_wait_handler(
    long_wait_handler handler, std::chrono::nanoseconds threshold = std::chrono::milliseconds(10));

class lock_wait;

namespace detail {

// A set of these for the process.
struct lock_mode {
  static constexpr unsigned sampled = 1, all = 2, owners = 4, checks = 8;
};
HEDDLE_API extern prim::atomic<unsigned> lock_modes;

struct lock_record;
class lock_figures;

}  // namespace detail

// One word in each mutex, semaphore, event, barrier, queue. While nothing is recorded it costs a
// load, a comparison and a branch that is predicted; the object does this:
//
//   acquire:  if it can be had at once
//               if (probe.active()) [[unlikely]] probe.acquired(site);
//             else
//               lock_wait wait(probe, kind, this); sleep; wait.acquired(site), or wait.gave_up()
//   release:  if (probe.active_at_release()) [[unlikely]] probe.released();
//
// Objects that one thread at a time holds call acquired() and released(), both while they hold it.
// What several may have (readers, units of a semaphore, items) calls passed() instead, before its
// matching release, and has no owner and no hold time. An object may do both as long as they
// exclude each other, as a reader-writer lock's.
//
// Thread-safety: as told; everything else from any thread.
// Memory ordering: none. Blocks? No, but for the registry's lock when a name or record is made.
// Allocates: a record when it is named, or recorded first. Where nothing may be thrown and memory
// runs out, nothing is recorded.
// Destruction: with the object. What was recorded of a named one stays visible in lock_snapshot().
// In a model it is empty: statistics synchronize nothing.
class HEDDLE_API lock_probe {
 public:
  constexpr lock_probe() noexcept = default;
  // Copies the name; an empty one is none. Throws std::bad_alloc.
  lock_probe(wait_kind kind, const void* object, std::string_view name);
#if HEDDLE_MODEL
  ~lock_probe() = default;
#else
  ~lock_probe() {
    if (state_.load(prim::relaxed) != 0) leave();
  }
#endif
  lock_probe(const lock_probe&) = delete;
  lock_probe& operator=(const lock_probe&) = delete;

  // Records this object, whatever the process does; where it has no name yet, kind and object say
  // what it is. Throws std::bad_alloc.
  void record(lock_recording what, wait_kind kind, const void* object);

#if HEDDLE_MODEL
  static constexpr bool active() noexcept { return false; }
  static constexpr bool active_at_release() noexcept { return false; }
  static constexpr bool checked() noexcept { return false; }
#else
  // Whether acquired() or passed() have anything to do.
  bool active() const noexcept {
    return ((state_.load(prim::relaxed) >> level_shift) | detail::lock_modes.load(prim::relaxed)) !=
           0;
  }
  // Whether released() has.
  bool active_at_release() const noexcept {
    return ((state_.load(prim::relaxed) >> level_shift) | owner_.load(prim::relaxed) |
            detail::lock_modes.load(prim::relaxed)) != 0;
  }
  static bool checked() noexcept {
    return (detail::lock_modes.load(prim::relaxed) & detail::lock_mode::checks) != 0;
  }
#endif

  // It was had at once. `site` is an address in the code that wanted it, or null.
  void acquired(const void* site) noexcept;
  void released() noexcept;
  void passed() noexcept;

  // For a watchdog that looks for deadlocks (track_lock_owners): the calling thread has taken n
  // units of the object, or will give n. Beside acquired() and passed(), when active(): took() as
  // soon as it has them, gave() before others can have them. wait_record::rescuers says whose uses
  // end a wait. Never block for long.
  void took(std::uint64_t n = 1) noexcept {
    if (tracks_owners()) use(static_cast<std::int64_t>(n));
  }
  void gave(std::uint64_t n = 1) noexcept {
    if (tracks_owners()) use(-static_cast<std::int64_t>(n));
  }
#if HEDDLE_MODEL
  static constexpr bool tracks_owners() noexcept { return false; }
#else
  static bool tracks_owners() noexcept {
    return (detail::lock_modes.load(prim::relaxed) & detail::lock_mode::owners) != 0;
  }
#endif
  // Somebody has taken or given units whom nobody can name any more.
  void note_unknown_user() noexcept { state_.fetch_or(unknown_users, prim::relaxed); }
  bool has_unknown_users() const noexcept {
    return (state_.load(prim::relaxed) & unknown_users) != 0;
  }

  // As many as were recorded.
  std::uint64_t acquisitions() const noexcept;

  // prim::thread_number of the thread that holds it; 0 when nobody does, or it is not tracked.
  std::uint32_t owner() const noexcept { return owner_.load(prim::relaxed); }
  bool owned_by_this_thread() const noexcept;

  // Null when it has none. Good as long as the object.
  const char* name() const noexcept;
  // All zero when nothing was recorded. Allocates. Throws std::bad_alloc.
  lock_statistics statistics() const;

  // Ends the process with a message: "heddle: <what> <kind and name>, which is held by <thread>".
  [[noreturn]] void misused(const char* what, wait_kind kind, const void* object) const noexcept;

 private:
  friend class lock_wait;
  // The state: the level, two marks, and the record's number or 0. Level and number change under
  // the registry's lock.
  static constexpr unsigned level_shift = 30;
  static constexpr std::uint32_t has_users = 1U << 29;
  static constexpr std::uint32_t unknown_users = 1U << 28;
  static constexpr std::uint32_t number_mask = unknown_users - 1;

  // Hidden, so that the library's own calls of them can be inlined.
  [[gnu::visibility("hidden")]] detail::lock_record* record_of() const noexcept;
  [[gnu::visibility("hidden")]] detail::lock_record* claim(wait_kind kind, const void* object);
  [[gnu::visibility("hidden")]] detail::lock_figures* figures() const noexcept;
  [[gnu::visibility("hidden")]] unsigned level() const noexcept;
  [[gnu::visibility("hidden")]] void held(bool after_wait, const void* site) noexcept;
  void use(std::int64_t taken) noexcept;
  void leave() noexcept;

  prim::atomic<std::uint32_t> state_{0};
  prim::atomic<std::uint32_t> owner_{0};
};

// A contended acquisition while it lasts. Ended by at most one of its functions; by none when
// an exception ends it, which counts as given up.
class HEDDLE_API lock_wait {
 public:
  lock_wait(lock_probe& probe, wait_kind kind, const void* object) noexcept {
    if (probe.active()) [[unlikely]]
      begin(probe, kind, object);
  }
  ~lock_wait() { gave_up(); }
  lock_wait(const lock_wait&) = delete;
  lock_wait& operator=(const lock_wait&) = delete;

  // As those of lock_probe.
  void acquired(const void* site) noexcept {
    if (probe_ != nullptr) [[unlikely]]
      end(how::held, site);
  }
  void passed() noexcept {
    if (probe_ != nullptr) [[unlikely]]
      end(how::passed, nullptr);
  }
  void gave_up() noexcept {
    if (probe_ != nullptr) [[unlikely]]
      end(how::without, nullptr);
  }

 private:
  enum class how : std::uint8_t { held, passed, without };

  void begin(lock_probe& probe, wait_kind kind, const void* object) noexcept;
  void end(how ended, const void* site) noexcept;

  lock_probe* probe_ = nullptr;  // null when nothing is to be recorded
  wait_kind kind_{};
  const void* object_ = nullptr;
  prim::time_point since_{};
};

}  // namespace heddle::inline HEDDLE_ABI
