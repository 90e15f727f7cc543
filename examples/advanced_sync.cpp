// Condition variables, recursive locks, and what the locks themselves can tell.

#include <chrono>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <heddle/sync/condition_variable.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/recursive_mutex.hpp>
#include <heddle/watch/lock_report.hpp>

namespace {

using namespace std::chrono_literals;

// [condition]
class mailbox {
 public:
  void put(std::string letter) {
    const std::lock_guard lock(mutex_);
    letters_.push_back(std::move(letter));
    filled_.notify_one();
  }
  // Nothing when there is no letter and a stop is requested.
  std::optional<std::string> take(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!filled_.wait(lock, stop, [this] { return !letters_.empty(); })) return std::nullopt;
    std::string letter = std::move(letters_.front());
    letters_.pop_front();
    return letter;
  }

 private:
  heddle::mutex mutex_{"mailbox"};
  heddle::condition_variable filled_;
  std::deque<std::string> letters_;
};
// [condition end]

void with_a_condition() {
  mailbox box;
  int read = 0;
  std::jthread reader([&](const std::stop_token& stop) {
    while (box.take(stop)) ++read;
  });
  for (int i = 0; i < 3; ++i) box.put("news");
  reader.request_stop();  // ends the wait for a fourth one
  reader.join();
  std::printf("%d letters read\n", read);
}

// [recursive]
// Functions that lock call each other.
class account {
 public:
  void deposit(int amount) {
    const std::lock_guard lock(mutex_);
    balance_ += amount;
  }
  void deposit_all(const std::vector<int>& amounts) {
    const std::lock_guard lock(mutex_);  // nobody sees half of it
    for (const int amount : amounts) deposit(amount);
  }
  int balance() {
    const std::lock_guard lock(mutex_);
    return balance_;
  }

 private:
  heddle::recursive_mutex mutex_;
  int balance_ = 0;
};
// [recursive end]

// [busy]
// Every thread of the program goes through one lock, and stays there too long.
void with_statistics() {
  heddle::record_locks(heddle::lock_recording::sampled);
  heddle::mutex hot("hot");
  heddle::mutex cool("cool");
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          {
            const std::lock_guard lock(hot);
            std::this_thread::sleep_for(100us);
          }
          const std::lock_guard lock(cool);
        }
      });
    }
  }
  std::fputs(heddle::lock_report().to_text().c_str(), stdout);
  heddle::record_locks(heddle::lock_recording::off);
}
// [busy end]

// [warning]
void warn_of_long_waits() {
  heddle::set_long_wait_handler([](const heddle::long_wait& w) noexcept {
    std::fprintf(stderr, "waited %lld ms for \"%.*s\"\n",
                 static_cast<long long>(w.waited / std::chrono::milliseconds(1)),
                 static_cast<int>(w.name.size()), w.name.data());
  });
}
// [warning end]

}  // namespace

int main() {
  warn_of_long_waits();
  with_a_condition();
  account savings;
  savings.deposit_all({1, 2, 3});
  std::printf("balance %d\n", savings.balance());
  with_statistics();
}
