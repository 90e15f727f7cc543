#include <heddle/prim/patience.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/blocking_region.hpp>

#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI {

broken_barrier::broken_barrier() : error("the barrier's phase was broken") {}
broken_barrier::~broken_barrier() = default;

std::ptrdiff_t barrier_core::checked(std::ptrdiff_t expected) {
  if (expected >= 0) return expected;
  throw std::invalid_argument("barrier: for " + std::to_string(expected) + " threads");
}

void barrier_core::refuse(std::ptrdiff_t n, std::ptrdiff_t missing) {
  throw std::invalid_argument("barrier: " + std::to_string(n) + " arrive where " +
                              std::to_string(missing) + " are missing");
}

barrier_core::barrier_core(std::ptrdiff_t expected)
    : expected_(checked(expected)), missing_(expected) {}

barrier_core::barrier_core(std::ptrdiff_t expected, std::string_view name)
    : expected_(checked(expected)), missing_(expected), probe_(wait_kind::barrier, this, name) {}

barrier_core::arrival barrier_core::arrive(std::ptrdiff_t n, const step& s) {
  std::uint64_t phase = 0;
  std::ptrdiff_t missing = 0;
  bool is_broken = false;
  {
    const prim::scoped_lock lock(lock_);
    phase = phase_.load(prim::relaxed);
    is_broken = broken_;
    missing = missing_;
    if (!is_broken && n > 0 && n <= missing) missing_ -= n;
  }
  if (is_broken) throw broken_barrier();
  if (n <= 0 || n > missing) refuse(n, missing);
  return {phase, n == missing ? finish(phase, s) : standing::under_way};
}

void barrier_core::arrive_and_drop(const step& s) {
  std::uint64_t phase = 0;
  std::ptrdiff_t missing = 0;
  {
    const prim::scoped_lock lock(lock_);
    phase = phase_.load(prim::relaxed);
    if (broken_) {
      if (expected_ > 0) --expected_;
      return;
    }
    missing = missing_;
    if (missing > 0) {
      --missing_;
      --expected_;
    }
  }
  if (missing == 0) refuse(1, 0);
  if (missing == 1) finish(phase, s);
}

// Everybody has arrived. Nobody is missing until this ends, so nobody else comes here. Its caller
// does not touch the barrier afterwards: those who were woken may destroy it.
barrier_core::standing barrier_core::finish(std::uint64_t phase, const step& s) noexcept {
  if (s.run != nullptr) s.run(s.object);
  if (probe_.active()) [[unlikely]]
    probe_.passed();
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (look(phase) != standing::under_way) return standing::broken;  // meanwhile
    begin_next();
    queue_.take_all(woken);
  }
  woken.wake();
  return standing::completed;
}

bool barrier_core::wait(std::uint64_t phase, const wait_limit& limit) {
  standing now = settle(phase);
  if (now == standing::completed && probe_.active()) [[unlikely]]
    probe_.passed();
  if (now == standing::under_way) {
    if (limit.over()) return false;
    lock_wait recorded(probe_, wait_kind::barrier, this);
    prim::patience spin;
    while (phase_.load(prim::relaxed) == phase && !spin.exhausted()) spin.wait();
    wait_record record = limit.record(wait_kind::barrier, this, probe_.name());
    const blocking_region region(record);
    now = sleep(phase, limit);
    if (now == standing::completed) recorded.passed();
  }
  if (now == standing::broken) throw broken_barrier();
  return now == standing::completed;
}

// Until the phase has ended, or the limit is reached.
barrier_core::standing barrier_core::sleep(std::uint64_t phase, const wait_limit& limit) {
  wait_queue::node n;
  {
    const prim::scoped_lock lock(lock_);
    const standing now = look(phase);
    if (now != standing::under_way) return now;
    queue_.append(n);
  }
  const auto withdraw = [&]() noexcept {
    const prim::scoped_lock lock(lock_);
    return queue_.withdraw(n);
  };
  if (!sleep_in_queue(n, limit, withdraw)) return standing::under_way;
  return n.refused ? standing::broken : standing::completed;
}

bool barrier_core::arrive_and_wait(const step& s, const wait_limit& limit) {
  const arrival mine = arrive(1, s);
  standing now = mine.after;
  if (now == standing::under_way) {
    try {
      if (wait(mine.phase, limit)) return true;
    } catch (...) {
      give_up(mine.phase);
      throw;
    }
    now = give_up(mine.phase);
  }
  if (now == standing::broken) throw broken_barrier();
  return now == standing::completed;
}

// Breaks the phase if it is still under way. Returns how it stood before.
barrier_core::standing barrier_core::give_up(std::uint64_t phase) noexcept {
  wait_queue::chain woken;
  standing before = standing::under_way;
  {
    const prim::scoped_lock lock(lock_);
    before = look(phase);
    if (before == standing::under_way) break_phase(woken);
  }
  woken.wake();
  return before;
}

void barrier_core::abort() noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (!broken_) break_phase(woken);
  }
  woken.wake();
}

void barrier_core::reset() noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (!broken_) {
      if (missing_ == expected_ && queue_.empty()) return;
      break_phase(woken);
    }
    broken_ = false;
    begin_next();
  }
  woken.wake();
}

bool barrier_core::broken() const noexcept {
  const prim::scoped_lock lock(lock_);
  return broken_;
}

void barrier_core::begin_next() noexcept {
  missing_ = expected_;
  phase_.store(phase_.load(prim::relaxed) + 1, prim::relaxed);
}

void barrier_core::break_phase(wait_queue::chain& woken) noexcept {
  broken_ = true;
  last_broken_ = phase_.load(prim::relaxed);
  queue_.take_all(woken, true);
}

// Only the last broken phase is remembered: nobody may ask for one before that.
barrier_core::standing barrier_core::look(std::uint64_t phase) const noexcept {
  if (phase == last_broken_) return standing::broken;
  return phase == phase_.load(prim::relaxed) ? standing::under_way : standing::completed;
}

barrier_core::standing barrier_core::settle(std::uint64_t phase) const noexcept {
  const prim::scoped_lock lock(lock_);
  return look(phase);
}

}  // namespace heddle::inline HEDDLE_ABI
