// A reader-writer lock around what is read much more often than written, and a dictionary on it.

#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <heddle/data/dictionary.hpp>
#include <heddle/sync/rw_lock.hpp>

namespace {

using namespace std::chrono_literals;

// [rw_lock]
// Every request reads the routes; now and then an operator changes them.
class routes {
 public:
  std::optional<std::string> target(std::size_t index) {
    const std::shared_lock lock(lock_);
    if (index >= targets_.size()) return std::nullopt;
    return targets_[index];
  }
  // False, and nothing has changed, when readers were in the way for too long.
  bool replace(std::vector<std::string> targets) {
    const std::unique_lock lock(lock_, 1s);
    if (!lock) return false;
    targets_.swap(targets);
    return true;
  }

 private:
  heddle::rw_lock lock_{"routes"};
  std::vector<std::string> targets_;
};
// [rw_lock end]

// [dictionary]
using ledger = heddle::dictionary<std::string, int>;

// Both accounts change at one moment, or none does.
bool transfer(ledger& accounts, const std::string& from, const std::string& to, int amount) {
  try {
    accounts.edit([&](ledger::editor& e) {
      const int there = e.get(from).value_or(0);
      if (there < amount) throw std::runtime_error("not enough");
      e.set(from, there - amount);
      e.set(to, e.get(to).value_or(0) + amount);
    });
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

void with_a_dictionary() {
  ledger accounts("accounts");
  accounts.set("ann", 100);
  accounts.get_or_insert("bob", [] { return 20; });  // called only if there is no bob
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) transfer(accounts, "ann", "bob", 3);
      });
    }
  }
  int sum = 0;
  for (const auto& [name, amount] : accounts.snapshot()) sum += amount;
  std::printf("ann has %d, all have %d\n", accounts.get_or("ann", 0), sum);

  ledger::batch changes;
  changes.set("cid", 5);
  changes.erase("ann");
  accounts.apply(std::move(changes));
  const heddle::dictionary_statistics s = accounts.statistics();
  std::printf("%zu accounts, %llu inserted, %llu updates, %.0f%% of look-ups hit\n",
              accounts.size(), static_cast<unsigned long long>(s.inserts),
              static_cast<unsigned long long>(s.updates), 100 * s.hit_share());
}
// [dictionary end]

}  // namespace

int main() {
  routes r;
  if (!r.replace({"north", "south"})) return 1;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (std::size_t i = 0; i < 1000; ++i) r.target(i % 3);
      });
    }
    r.replace({"east"});
  }
  std::printf("requests go %s\n", r.target(0).value_or("nowhere").c_str());
  with_a_dictionary();
}
