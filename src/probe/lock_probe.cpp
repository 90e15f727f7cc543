#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/names.hpp>

#include "probe/lock_figures.hpp"
#include "probe/seen_waits.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace heddle::inline HEDDLE_ABI {
namespace detail {

// What is known of one object, from its naming or first recording on.
struct lock_record {
  lock_record(std::string_view its_name, wait_kind its_kind, const void* its_object)
      : name(its_name), kind(its_kind), object(its_object) {}
  ~lock_record() { delete figures.load(prim::relaxed); }

  const std::string name;
  const wait_kind kind;
  const void* object;                            // under the registry's lock
  prim::atomic<lock_figures*> figures{nullptr};  // made when it is first recorded
  lock_record* next_ended = nullptr;             // under the registry's lock
};

#if defined(NDEBUG)
constinit prim::atomic<unsigned> lock_modes{0};
#else
constinit prim::atomic<unsigned> lock_modes{lock_mode::checks};
#endif

namespace {

// Which objects there are. Trivially destructible and never freed, so that it serves locks that
// are used and destroyed during static destruction.
struct lock_registry {
  static constexpr std::uint32_t capacity = 1U << 16;

  prim::mutex mutex;
  // By number; null where it is free. What an object's word names stays until the object ends.
  std::array<prim::atomic<lock_record*>, capacity> records;
  std::uint32_t used HEDDLE_GUARDED_BY(mutex) = 1;        // 0 is no number
  std::uint32_t maybe_free HEDDLE_GUARDED_BY(mutex) = 1;  // no free number is below
  // Those whose objects are gone, by a hash of their names.
  std::array<lock_record*, 256> ended HEDDLE_GUARDED_BY(mutex){};

  // 0 when there are too many.
  std::uint32_t enlist(std::unique_ptr<lock_record> r) HEDDLE_REQUIRES(mutex);
  void end(std::uint32_t number) noexcept HEDDLE_REQUIRES(mutex);
};

constinit lock_registry registry;

constinit prim::atomic<long_wait_handler> handler{nullptr};
constinit prim::atomic<std::uint64_t> threshold_ns{10'000'000};

void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.lock(); }
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { registry.mutex.unlock(); }

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork);

std::uint32_t lock_registry::enlist(std::unique_ptr<lock_record> r) {
  while (maybe_free < used && records[maybe_free].load(prim::relaxed) != nullptr) ++maybe_free;
  if (maybe_free == capacity) return 0;
  const std::uint32_t number = maybe_free;
  records[number].store(r.release(), prim::release);
  used = std::max(used, number + 1);
  return number;
}

// A record with a name and figures stays, or adds them to that of an earlier one.
void lock_registry::end(std::uint32_t number) noexcept {
  std::unique_ptr<lock_record> mine(records[number].load(prim::relaxed));
  records[number].store(nullptr, prim::relaxed);
  maybe_free = std::min(maybe_free, number);
  const lock_figures* const figures = mine->figures.load(prim::relaxed);
  if (mine->name.empty() || figures == nullptr) return;
  lock_record*& chain = ended[std::hash<std::string>{}(mine->name) % ended.size()];
  for (lock_record* r = chain; r != nullptr; r = r->next_ended) {
    if (r->kind != mine->kind || r->name != mine->name) continue;
    r->figures.load(prim::relaxed)->add(*figures);
    return;
  }
  mine->object = nullptr;
  mine->next_ended = chain;
  chain = mine.release();
}

lock_figures* make_figures(lock_record& r) {
  measure_cycles();
  const prim::scoped_lock lock(registry.mutex);
  if (lock_figures* const others = r.figures.load(prim::relaxed)) return others;
  auto* const made = new lock_figures;
  r.figures.store(made, prim::release);
  return made;
}

lock_statistics statistics_of(const lock_record& r) {
  lock_statistics s;
  s.name = r.name;
  s.kind = r.kind;
  s.object = r.object;
  if (const lock_figures* const f = r.figures.load(prim::acquire)) f->read(s);
  return s;
}

unsigned level_of(lock_recording what) noexcept { return static_cast<unsigned>(what); }

unsigned set_modes(unsigned of, unsigned to) noexcept {
  unsigned before = lock_modes.load(prim::relaxed);
  while (!lock_modes.compare_exchange_weak(before, (before & ~of) | to, prim::relaxed,
                                           prim::relaxed)) {
  }
  return before;
}

constexpr unsigned recording_bits = lock_mode::sampled | lock_mode::all;

}  // namespace
}  // namespace detail

using detail::lock_figures;
using detail::lock_mode;
using detail::lock_record;
using detail::registry;

lock_recording record_locks(lock_recording what) noexcept {
  if (what != lock_recording::off) detail::measure_cycles();
  return static_cast<lock_recording>(
      detail::set_modes(detail::recording_bits, detail::level_of(what)) & detail::recording_bits);
}

bool track_lock_owners(bool on) noexcept {
#if !HEDDLE_MODEL
  // What was noted before a time without notes says nothing about now.
  if (on && !lock_probe::tracks_owners()) detail::forget_all_uses();
#endif
  return (detail::set_modes(lock_mode::owners, on ? lock_mode::owners : 0) & lock_mode::owners) !=
         0;
}

bool check_locks(bool on) noexcept {
  return (detail::set_modes(lock_mode::checks, on ? lock_mode::checks : 0) & lock_mode::checks) !=
         0;
}

void set_long_wait_handler(long_wait_handler handler, std::chrono::nanoseconds threshold) {
  if (threshold.count() < 0) {
    throw std::invalid_argument("set_long_wait_handler: a threshold of " +
                                std::to_string(threshold.count()) + " ns is negative");
  }
  detail::threshold_ns.store(static_cast<std::uint64_t>(threshold.count()), prim::relaxed);
  detail::handler.store(handler, prim::release);
}

std::vector<lock_statistics> lock_snapshot() {
  std::vector<lock_statistics> all;
  {
    const prim::scoped_lock lock(registry.mutex);
    for (std::uint32_t i = 1; i < registry.used; ++i) {
      const lock_record* const r = registry.records[i].load(prim::relaxed);
      if (r != nullptr) all.push_back(detail::statistics_of(*r));
    }
    for (const lock_record* chain : registry.ended) {
      for (const lock_record* r = chain; r != nullptr; r = r->next_ended) {
        all.push_back(detail::statistics_of(*r));
      }
    }
  }
  std::sort(all.begin(), all.end(), [](const lock_statistics& a, const lock_statistics& b) {
    if (a.wait.total() != b.wait.total()) return a.wait.total() > b.wait.total();
    return a.acquisitions > b.acquisitions;
  });
  return all;
}

lock_probe::lock_probe(wait_kind kind, const void* object, std::string_view name) {
  if (name.empty()) return;
  auto made = std::make_unique<lock_record>(name, kind, object);
  const prim::scoped_lock lock(registry.mutex);
  state_.store(registry.enlist(std::move(made)), prim::release);
}

void lock_probe::leave() noexcept {
#if !HEDDLE_MODEL
  if ((state_.load(prim::relaxed) & has_users) != 0) detail::forget_uses_of(*this);
#endif
  const std::uint32_t number = state_.load(prim::relaxed) & number_mask;
  if (number != 0) {
    const prim::scoped_lock lock(registry.mutex);
    registry.end(number);
  }
  state_.store(0, prim::relaxed);
}

void lock_probe::use(std::int64_t taken) noexcept {
#if HEDDLE_MODEL
  static_cast<void>(taken);
#else
  if ((state_.load(prim::relaxed) & has_users) == 0) state_.fetch_or(has_users, prim::relaxed);
  detail::note_use(*this, taken);
#endif
}

lock_record* lock_probe::record_of() const noexcept {
  const std::uint32_t number = state_.load(prim::acquire) & number_mask;
  return number == 0 ? nullptr : registry.records[number].load(prim::acquire);
}

// The object's record, which it gets now if it has none; null when there are too many.
lock_record* lock_probe::claim(wait_kind kind, const void* object) {
  if (lock_record* const mine = record_of()) return mine;
  auto made = std::make_unique<lock_record>(std::string_view(), kind, object);
  {
    const prim::scoped_lock lock(registry.mutex);
    if ((state_.load(prim::relaxed) & number_mask) == 0) {
      state_.fetch_or(registry.enlist(std::move(made)), prim::release);
    }
  }
  return record_of();
}

void lock_probe::record(lock_recording what, wait_kind kind, const void* object) {
  if (what != lock_recording::off) {
    lock_record* const mine = claim(kind, object);
    if (mine == nullptr) return;
    detail::make_figures(*mine);
  }
  const prim::scoped_lock lock(registry.mutex);
  std::uint32_t word = state_.load(prim::relaxed);
  const std::uint32_t level = detail::level_of(what) << level_shift;
  while (!state_.compare_exchange_weak(word, (word & ((1U << level_shift) - 1)) | level,
                                       prim::release, prim::relaxed)) {
  }
}

unsigned lock_probe::level() const noexcept {
  return ((state_.load(prim::relaxed) >> level_shift) | detail::lock_modes.load(prim::relaxed)) &
         detail::recording_bits;
}

// Null when nothing is recorded, also because memory has run out: then recording ends, and not the
// program.
lock_figures* lock_probe::figures() const noexcept {
  if (level() == 0) return nullptr;
  lock_record* const mine = record_of();
  if (mine == nullptr) return nullptr;
  if (lock_figures* const made = mine->figures.load(prim::acquire)) return made;
  try {
    return detail::make_figures(*mine);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void lock_probe::acquired(const void* site) noexcept { held(false, site); }

void lock_probe::held(bool after_wait, const void* site) noexcept {
  owner_.store(prim::thread_number(), prim::relaxed);
  if (lock_figures* const f = figures()) {
    f->held(after_wait, (level() & lock_mode::all) != 0, site);
  }
}

void lock_probe::released() noexcept {
  owner_.store(0, prim::relaxed);
  const lock_record* const mine = record_of();
  if (mine == nullptr) return;
  if (lock_figures* const f = mine->figures.load(prim::acquire)) f->let_go();
}

void lock_probe::passed() noexcept {
  if (lock_figures* const f = figures()) f->passed(false);
}

std::uint64_t lock_probe::acquisitions() const noexcept {
  const lock_record* const mine = record_of();
  if (mine == nullptr) return 0;
  const lock_figures* const f = mine->figures.load(prim::acquire);
  return f == nullptr ? 0 : f->acquisitions();
}

bool lock_probe::owned_by_this_thread() const noexcept { return owner() == prim::thread_number(); }

const char* lock_probe::name() const noexcept {
  const lock_record* const mine = record_of();
  return mine == nullptr || mine->name.empty() ? nullptr : mine->name.c_str();
}

lock_statistics lock_probe::statistics() const {
  const lock_record* const mine = record_of();
  return mine == nullptr ? lock_statistics() : detail::statistics_of(*mine);
}

void lock_probe::misused(const char* what, wait_kind kind, const void* object) const noexcept {
  const char* const its_name = name();
  std::string holder = "nobody";
  if (const std::uint32_t number = owner(); number == prim::thread_number()) {
    holder = "this thread";
  } else if (number != 0) {
    holder = "thread " + std::to_string(number);
    for (const thread_name& t : thread_names()) {
      if (t.number == number) holder += " (" + t.name + ")";
    }
  }
  std::fprintf(stderr, "heddle: %s %s%s%s%s (%p), which is held by %s\n", what, describe(kind),
               its_name == nullptr ? "" : " \"", its_name == nullptr ? "" : its_name,
               its_name == nullptr ? "" : "\"", object, holder.c_str());
  std::abort();
}

void lock_wait::begin(lock_probe& probe, wait_kind kind, const void* object) noexcept {
  probe_ = &probe;
  kind_ = kind;
  object_ = object;
  if (probe.level() == 0) return;  // only the owner is of interest
  try {
    probe.claim(kind, object);
  } catch (const std::bad_alloc&) {
    return;
  }
  since_ = prim::clock::now();
}

void lock_wait::end(how ended, const void* site) noexcept {
  lock_probe& probe = *std::exchange(probe_, nullptr);
  lock_figures* const f = probe.figures();
  if (ended == how::held) probe.held(true, site);
  if (f == nullptr || since_ == prim::time_point{}) return;
  if (ended == how::passed) f->passed(true);
  if (ended == how::without) f->gave_up();
  const auto waited = prim::clock::now() - since_;
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(waited);
  if (!f->waited(static_cast<std::uint64_t>(ns.count()),
                 detail::threshold_ns.load(prim::relaxed))) {
    return;
  }
  const long_wait_handler tell = detail::handler.load(prim::acquire);
  if (tell == nullptr) return;
  const char* const name = probe.name();
  tell({kind_, name == nullptr ? std::string_view() : name, object_, ns});
}

}  // namespace heddle::inline HEDDLE_ABI
