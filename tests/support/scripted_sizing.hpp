// Sizing laws that say what a test wants.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/seed.hpp>

namespace heddle_test {

// What the scripted law answers. A law_maker is a plain function, so there is one script at a time.
struct script {
  using answer = std::function<heddle::sizing::choice(const heddle::sizing::window&)>;

  static inline std::mutex mutex;
  static inline answer next;
  static inline std::atomic<int> first{1};
  static inline std::atomic<int> laws_made{0};
  static inline std::atomic<int> windows{0};

  static void answers(answer f) {
    const std::lock_guard lock(mutex);
    next = std::move(f);
  }
  // The same size each time.
  static void wants(int size) {
    answers([size](const heddle::sizing::window&) {
      return heddle::sizing::choice{size, heddle::sizing::cause::trial, "the script says so",
                                    std::chrono::milliseconds(1)};
    });
  }
  // The first size stays until the script says otherwise.
  static void begin_anew() {
    first = 1;
    laws_made = 0;
    windows = 0;
    answers([](const heddle::sizing::window& now) {
      return heddle::sizing::choice{
          now.size, heddle::sizing::cause::nothing_new, {}, std::chrono::milliseconds(1)};
    });
  }
};

class scripted_law final : public heddle::sizing::law {
 public:
  scripted_law() { ++script::laws_made; }
  heddle::sizing::choice first(double, int, int) override {
    return {script::first, heddle::sizing::cause::start, "the script begins",
            std::chrono::milliseconds(1)};
  }
  heddle::sizing::choice next(const heddle::sizing::window& now) override {
    ++script::windows;
    const std::lock_guard lock(script::mutex);
    return script::next(now);
  }
};

inline heddle::sizing::adaptive scripted(int min = 1, int max = 64) {
  return {.min = min, .max = max, .make_law = []() -> std::unique_ptr<heddle::sizing::law> {
            return std::make_unique<scripted_law>();
          }};
}

// A size drawn anew for each window. It shares nothing, so that a child forked off at any moment
// can use it.
class restless_law final : public heddle::sizing::law {
 public:
  heddle::sizing::choice first(double, int least, int most) override { return draw(least, most); }
  heddle::sizing::choice next(const heddle::sizing::window& now) override {
    return draw(now.least, now.most);
  }

 private:
  heddle::sizing::choice draw(int least, int most) {
    const int size = least + static_cast<int>(dice_.below(static_cast<unsigned>(most - least + 1)));
    return {size, heddle::sizing::cause::trial, "at random", std::chrono::milliseconds(1)};
  }

  heddle::prim::random dice_{heddle::prim::next_seed()};
};

inline heddle::sizing::adaptive restless(int min, int max) {
  return {.min = min, .max = max, .make_law = []() -> std::unique_ptr<heddle::sizing::law> {
            return std::make_unique<restless_law>();
          }};
}

// Keeps a pool supplied with tasks that take a moment, and counts how many run at a time.
class load {
 public:
  explicit load(heddle::thread_pool& pool, int tasks = 200) : pool_(pool) {
    for (int i = 0; i < tasks; ++i) submit();
  }
  ~load() { end(); }
  load(const load&) = delete;
  load& operator=(const load&) = delete;

  void end() {
    over_ = true;
    pool_.wait_idle();
  }
  int at_a_time() const { return running_; }

 private:
  void submit() {
    pool_.post([this] {
      ++running_;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --running_;
      if (!over_) submit();
    });
  }

  heddle::thread_pool& pool_;
  std::atomic<bool> over_{false};
  std::atomic<int> running_{0};
};

}  // namespace heddle_test
