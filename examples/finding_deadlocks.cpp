// Deadlocks that a watchdog finds, and one that it breaks.

#include <chrono>
#include <cstdio>
#include <mutex>
#include <thread>

#include <heddle/base/errors.hpp>
#include <heddle/exec/joining_thread.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/watch/wait_graph.hpp>
#include <heddle/watch/watchdog.hpp>

namespace {

using namespace std::chrono_literals;

// [account]
struct account {
  explicit account(const char* owner, int money) : lock(owner), balance(money) {}
  heddle::mutex lock;
  int balance;
};

// Locks in the order of its arguments: two of these in opposite directions may meet.
void transfer(account& from, account& to, int amount) {
  const std::lock_guard first(from.lock);
  std::this_thread::sleep_for(20ms);
  const std::lock_guard second(to.lock);
  from.balance -= amount;
  to.balance += amount;
}
// [account end]

// [breaking]
// What a deadlock costs is one transfer that has to be tried again.
void transfer_with_patience(account& from, account& to, int amount) {
  for (;;) {
    try {
      transfer(from, to, amount);
      return;
    } catch (const heddle::deadlock_error& e) {
      std::printf("tried again, because of a %s\n", e.what());
      std::this_thread::sleep_for(1ms);  // the other goes first
    }
  }
}
// [breaking end]

void break_a_deadlock() {
  // [watching]
  const heddle::watchdog dog({.period = 20ms, .policy = heddle::deadlock_policy::interrupt});
  account alice("alice", 100), bob("bob", 100);
  heddle::joining_thread one("one",
                             heddle::named("pay", [&] { transfer_with_patience(alice, bob, 30); }));
  heddle::joining_thread other(
      "other", heddle::named("refund", [&] { transfer_with_patience(bob, alice, 50); }));
  // [watching end]
  one.join();
  other.join();
  std::printf("alice %d, bob %d\n", alice.balance, bob.balance);
}

// A deadlock over semaphores is suspected, and told; the program has to find its own way out.
void report_a_suspicion() {
  heddle::manual_reset_event told;
  // [handler]
  heddle::watchdog_options options;
  options.period = 20ms;
  options.on_deadlock = [&](const heddle::deadlock& d) {
    std::fputs(d.to_text().c_str(), stdout);
    told.set();
  };
  const heddle::watchdog dog(options);
  // [handler end]
  heddle::counting_semaphore<2> scanner(1, "scanner"), printer(1, "printer");
  heddle::latch both(2);
  const auto copy = [&](auto& first, auto& second) {
    first.acquire();
    both.arrive_and_wait();
    second.acquire();
    second.release();
    first.release();
  };
  heddle::joining_thread left("left", [&] { copy(scanner, printer); });
  heddle::joining_thread right("right", [&] { copy(printer, scanner); });
  told.wait();
  printer.release();  // a second printer
}

// [graph]
void show_who_waits() { std::fputs(heddle::wait_graph().to_text().c_str(), stdout); }
// [graph end]

heddle::thread_pool_options workers(unsigned count, const char* name) {
  heddle::thread_pool_options options;
  options.workers = count;
  options.name = name;
  return options;
}

void look_at_all_waits() {
  heddle::thread_pool pool(workers(2, "loaders"));
  heddle::manual_reset_event network("network");
  auto page = pool.submit(heddle::named("load page", [&] {
    auto image = pool.submit(heddle::named("load image", [&] { network.wait(); }));
    std::this_thread::sleep_for(1ms);
    image.get();
  }));
  std::this_thread::sleep_for(20ms);
  show_who_waits();
  network.set();
  page.get();
}

}  // namespace

int main() {
  break_a_deadlock();
  report_a_suspicion();
  look_at_all_waits();
}
