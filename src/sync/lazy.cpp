#include <heddle/prim/seed.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/lazy.hpp>

namespace heddle::inline HEDDLE_ABI {

recursive_initialization::recursive_initialization()
    : error("lazy: the initializer needs the value that it makes") {}
recursive_initialization::~recursive_initialization() = default;

lazy_core::turn lazy_core::begin(const wait_limit& limit) {
  for (;;) {
    std::uint32_t word = word_.load(prim::acquire);
    if (word == made) return turn::ready;
    if (word == nothing) {
      // Acquires: who makes it after another has failed sees what that one did.
      if (!word_.compare_exchange_weak(word, making, prim::acquire, prim::relaxed)) continue;
      maker_.store(prim::thread_number() + 1, prim::relaxed);
      return turn::mine;
    }
    // Relaxed: a thread is sure to see its own stores, and only it stores its own number.
    if (maker_.load(prim::relaxed) == prim::thread_number() + 1) throw recursive_initialization();
    if (limit.over()) return turn::no_time;
    lock_wait recorded(probe_, wait_kind::lazy, this);
    wait_record record = limit.record(wait_kind::lazy, this, probe_.name());
    record.owner = [](const void* lazy) noexcept {
      const std::uint32_t maker = static_cast<const lazy_core*>(lazy)->maker_.load(prim::relaxed);
      return maker == 0 ? 0 : maker - 1;
    };
    const blocking_region region(record);
    wait_queue::node n;
    if (append(n) && !sleep_in_queue(n, limit, [&]() noexcept { return withdraw(n); })) {
      return turn::no_time;
    }
    recorded.passed();
  }
}

// With nobody in the queue the exchange is the last access: the value may be used up, and the
// object destroyed, before this returns.
void lazy_core::finish(std::uint32_t result) noexcept {
  maker_.store(0, prim::relaxed);
  std::uint32_t word = making;
  if (word_.compare_exchange_strong(word, result, prim::release, prim::relaxed)) return;
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    queue_.take_all(woken);
    word_.exchange(result, prim::release);
  }
  woken.wake();
}

// False when nobody makes it any more.
bool lazy_core::append(wait_queue::node& n) noexcept {
  const prim::scoped_lock lock(lock_);
  std::uint32_t word = word_.load(prim::relaxed);
  do {
    if (word == nothing || word == made) return false;
  } while (!word_.compare_exchange_weak(word, awaited, prim::relaxed, prim::relaxed));
  queue_.append(n);
  return true;
}

bool lazy_core::withdraw(wait_queue::node& n) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!queue_.withdraw(n)) return false;
  if (queue_.empty()) word_.store(making, prim::relaxed);
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI
