// Several locks at a time, without deadlocks: levels that the compiler knows, and names at run
// time.

#include <chrono>
#include <cstdio>
#include <thread>

#include <heddle/sync/lock_hierarchy.hpp>
#include <heddle/sync/ranked_mutex.hpp>

namespace {

using namespace std::chrono_literals;

// [ranked]
// The order is part of the types: accounts before audit.
struct bank {
  heddle::ranked_mutex<10> accounts{"accounts"};
  heddle::ranked_mutex<20> audit{"audit"};
  int checking = 100;
  int savings = 0;
  int transfers = 0;

  void transfer(int amount) {
    const heddle::ranked_lock lock(accounts);
    checking -= amount;
    savings += amount;
    const heddle::ranked_lock inner(lock, audit);  // with the levels exchanged it would not compile
    ++transfers;
  }
  // Both at once, in whatever order they are named.
  bool is_balanced() {
    const heddle::ranked_lock lock(audit, accounts);
    return checking + savings == 100;
  }
};
// [ranked end]

void with_levels() {
  bank b;
  std::jthread other([&b] {
    for (int i = 0; i < 50; ++i) b.transfer(1);
  });
  for (int i = 0; i < 50; ++i) b.transfer(1);
  other.join();
  std::printf("%d transfers, balanced: %s\n", b.transfers, b.is_balanced() ? "yes" : "no");

  // [wrong_order]
  // What the compiler cannot see is told in the first run, without a deadlock having to happen.
  const heddle::ranked_lock audit(b.audit);
  try {
    const heddle::ranked_lock accounts(b.accounts);
  } catch (const heddle::lock_order_error& e) {
    std::printf("%s\n", e.what());
  }
  // [wrong_order end]
}

void with_names() {
  // [names]
  // Which locks a request needs is known when it comes. The order is declared here, once.
  heddle::lock_hierarchy locks({{"inventory", 10}, {"orders", 20}, {"log", 30, true}});

  if (const heddle::held_locks held = locks.try_acquire_for({"orders", "inventory"}, 50ms)) {
    std::printf("both, or none\n");
    const heddle::held_locks log = locks.acquire({"log"});
    const heddle::held_locks again = locks.acquire({"log"});  // declared recursive
  }  // released in reverse order
  // [names end]

  const heddle::held_locks orders = locks.acquire({"orders"});
  std::jthread([&locks] {
    if (!locks.try_acquire_for({"inventory", "orders"}, 5ms)) std::printf("in time: none\n");
  }).join();
}

}  // namespace

int main() {
  with_levels();
  with_names();
}
