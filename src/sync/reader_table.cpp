#include <heddle/prim/clock.hpp>
#include <heddle/sync/reader_table.hpp>

#include <algorithm>
#include <chrono>
#include <system_error>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// All zero at the start, so that what no thread needs takes no memory.
struct reader_table {
  reader_row rows[prim::limits::reader_rows];
  reader_row full;                    // shared by all that came too late: none of its slots is free
  prim::atomic<std::size_t> used{0};  // no row from here on was ever taken
};

constinit reader_table table;

}  // namespace

void reader_row::enter() noexcept {
  void*& mine = prim::thread_value(prim::thread_slot::reader_row);
  for (std::size_t i = 0; i < prim::limits::reader_rows; ++i) {
    reader_row& row = table.rows[i];
    if (row.taken_.load(prim::relaxed) || row.taken_.exchange(true, prim::acquire)) continue;
    row.run = &thread_ends;
    try {
      prim::at_thread_exit(row);
    } catch (const std::system_error&) {
      row.taken_.store(false, prim::release);
      break;
    }
    std::size_t used = table.used.load(prim::acquire);
    while (used <= i && !table.used.compare_exchange_weak(used, i + 1, prim::seq_cst)) {
    }
    mine = &row;
    return;
  }
  for (slot& s : table.full.slots_) s.store(&table, prim::relaxed);
  mine = &table.full;
}

// A thread that ends with a lock in its row leaves both behind: the lock stays locked, and a later
// thread must not take it for its own.
void reader_row::thread_ends(prim::thread_exit_hook* hook) noexcept {
  auto& row = *static_cast<reader_row*>(hook);
  const bool empty = std::all_of(row.slots_, row.slots_ + prim::limits::reader_slots,
                                 [](const slot& s) { return s.load(prim::relaxed) == nullptr; });
  if (!empty) return;
  prim::thread_value(prim::thread_slot::reader_row) = nullptr;
  row.taken_.store(false, prim::release);
}

std::span<reader_row> reader_row::used() noexcept {
  return {table.rows, table.used.load(prim::seq_cst)};
}

// Why no wake-up is lost. The writer says that it wants the slot, fences, and looks at the slot;
// the reader empties the slot, fences, and looks whether somebody wants it. One of them sees the
// other. The reader's fence is the light half of a pair, so reading costs none. Without the heavy
// half the writer looks again each millisecond.
bool reader_row::sleep_while(const slot& s, const void* value, const wait_limit& limit) {
  wait_queue::node n;
  n.amount = static_cast<std::uint64_t>(&s - slots_);
  do {
    {
      const prim::scoped_lock lock(lock_);
      sleepers_.append(n);
      wanted_.store(true, prim::relaxed);
    }
    const bool will_be_woken = prim::heavy_fence();
    const auto leave = [&]() noexcept { return withdraw(n); };
    if (s.load(prim::relaxed) != value && leave()) break;
    prim::time_point until = limit.deadline();
    if (!will_be_woken) {
      until = std::min(until, prim::deadline_after(std::chrono::milliseconds(1)));
    }
    const wait_limit step =
        limit.stop() == nullptr ? wait_limit(until) : wait_limit(*limit.stop(), until);
    if (!sleep_in_queue(n, step, leave) && limit.over()) break;
  } while (s.load(prim::relaxed) == value);
  return s.load(prim::relaxed) != value;
}

bool reader_row::withdraw(wait_queue::node& n) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!sleepers_.withdraw(n)) return false;
  if (sleepers_.empty()) wanted_.store(false, prim::relaxed);
  return true;
}

void reader_row::wake(const slot& s) noexcept {
  const auto index = static_cast<std::uint64_t>(&s - slots_);
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    for (wait_queue::entry* n = sleepers_.first(); n != nullptr;) {
      wait_queue::entry* const behind = n->after;
      if (n->amount == index) sleepers_.take(*n, woken);
      n = behind;
    }
    if (sleepers_.empty()) wanted_.store(false, prim::relaxed);
  }
  woken.wake();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
