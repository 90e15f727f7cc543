#include <heddle/sync/lazy.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::lazy;
using testing::ElementsAre;
using testing::HasSubstr;

namespace prim = heddle::prim;

constinit lazy<std::string> greeting([] { return std::string("hello"); });

// Neither copied nor moved.
struct settled {
  explicit settled(int v) : value(v) {}
  settled(const settled&) = delete;
  settled& operator=(const settled&) = delete;
  int value;
};

TEST(lazy, makes_its_value_at_the_first_get_and_never_again) {
  int made = 0;
  lazy value([&] { return ++made; });
  EXPECT_EQ(value.peek(), nullptr);
  EXPECT_EQ(made, 0);
  EXPECT_EQ(value.get(), 1);
  EXPECT_EQ(*value, 1);
  EXPECT_EQ(value.peek(), &value.get());
  EXPECT_EQ(value.get_for(-1s), &value.get());
  EXPECT_EQ(made, 1);
  EXPECT_EQ(*greeting, "hello");
  EXPECT_EQ(greeting->size(), 5U);
}

TEST(lazy, values_need_not_be_movable) {
  lazy<settled, std::function<settled()>> value([] { return settled(7); });
  EXPECT_EQ(value->value, 7);
  lazy<std::unique_ptr<int>> pointer([] { return std::make_unique<int>(8); });
  EXPECT_EQ(**pointer, 8);
}

TEST(lazy, is_made_once_for_all_threads) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> made{0};
    lazy value([&] {
      std::this_thread::sleep_for(200us);
      ++made;
      return std::string("one for all");
    });
    std::array<std::string*, 6> seen{};
    heddle_test::run_together(6, [&](unsigned i) {
      seen[i] = &value.get();
      EXPECT_EQ(*seen[i], "one for all");
    });
    for (const std::string* s : seen) EXPECT_EQ(s, seen[0]);
    EXPECT_EQ(made, 1);
  }
}

TEST(lazy, an_exception_goes_to_its_caller_and_the_next_one_tries_again) {
  int tries = 0;
  lazy value([&] {
    if (++tries < 3) throw std::runtime_error("not yet");
    return tries;
  });
  EXPECT_THROW(value.get(), std::runtime_error);
  EXPECT_EQ(value.peek(), nullptr);
  EXPECT_THROW(static_cast<void>(value.get_for(1h)), std::runtime_error);
  EXPECT_EQ(value.get(), 3);
}

TEST(lazy, those_who_wait_try_when_the_initializer_has_failed) {
  const heddle_test::watchdog dog;
  std::atomic<int> tries{0};
  std::atomic<int> failures{0};
  lazy value([&] {
    const int mine = ++tries;
    std::this_thread::sleep_for(1ms);
    if (mine < 4) throw std::runtime_error("not yet");
    return mine;
  });
  heddle_test::run_together(6, [&](unsigned) {
    try {
      EXPECT_EQ(value.get(), 4);
    } catch (const std::runtime_error&) {
      ++failures;
    }
  });
  EXPECT_EQ(failures, 3);
  EXPECT_EQ(tries, 4);
}

TEST(lazy, an_initializer_that_needs_its_own_value_is_told_so) {
  struct snake {
    static int bite(lazy<int, std::function<int()>>& self) { return self.get(); }
  };
  int tries = 0;
  lazy<int, std::function<int()>>* self = nullptr;
  lazy<int, std::function<int()>> value([&] { return ++tries < 2 ? snake::bite(*self) : 1; });
  self = &value;
  EXPECT_THROW(value.get(), heddle::recursive_initialization);
  EXPECT_EQ(value.get(), 1);  // it was an exception as any other
}

TEST(lazy, an_initializer_may_need_other_values) {
  lazy one([] { return 1; });
  lazy two([&] { return one.get() + 1; });
  lazy three([&] { return two.get() + 1; });
  EXPECT_EQ(*three, 3);
}

TEST(lazy, waits_for_another_s_initializer_within_limits) {
  const heddle_test::watchdog dog;
  std::atomic<bool> begun{false};
  std::atomic<bool> may_end{false};
  lazy value([&] {
    begun = true;
    while (!may_end) std::this_thread::sleep_for(1ms);
    return 1;
  });
  std::thread maker([&] { value.get(); });
  while (!begun) std::this_thread::yield();
  const auto deadline = prim::clock::now() + 5ms;
  EXPECT_EQ(value.get_until(deadline), nullptr);
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_EQ(value.get_for(-1h), nullptr);
  EXPECT_EQ(value.peek(), nullptr);
  std::stop_source source;
  std::thread stopped([&] { EXPECT_EQ(value.get(source.get_token()), nullptr); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  stopped.join();
  EXPECT_EQ(value.get(source.get_token()), nullptr);
  std::thread patient([&] { EXPECT_EQ(value.get(), 1); });
  std::this_thread::sleep_for(2ms);
  may_end = true;
  maker.join();
  patient.join();
  EXPECT_NE(value.get(source.get_token()), nullptr);
}

TEST(lazy, destroys_its_value_and_then_its_initializer) {
  struct noisy {
    noisy(std::vector<std::string>* l, const char* n) : log(l), name(n) {}
    noisy(const noisy&) = delete;
    noisy& operator=(const noisy&) = delete;
    ~noisy() { log->push_back(name); }
    std::vector<std::string>* log;
    std::string name;
  };
  std::vector<std::string> log;
  struct initializer {
    std::unique_ptr<noisy> captured;
    noisy operator()() const { return noisy(captured->log, "the value"); }
  };
  {
    lazy<noisy, initializer> used(initializer{std::make_unique<noisy>(&log, "its initializer")});
    used.get();
    EXPECT_TRUE(log.empty());
  }
  EXPECT_THAT(log, ElementsAre("the value", "its initializer"));
  log.clear();
  {
    lazy<noisy, initializer> unused(initializer{std::make_unique<noisy>(&log, "its initializer")});
  }
  EXPECT_THAT(log, ElementsAre("its initializer"));
}

TEST(lazy, tells_the_delegate_who_is_making_it) {
  const heddle_test::watchdog dog;
  std::atomic<bool> begun{false};
  std::atomic<bool> may_end{false};
  lazy value(
      [&] {
        begun = true;
        while (!may_end) std::this_thread::sleep_for(1ms);
        return 1;
      },
      "index");
  EXPECT_STREQ(value.name(), "index");
  std::atomic<std::uint32_t> maker{0};
  std::thread making([&] {
    maker = prim::thread_number();
    value.get();
  });
  while (!begun) std::this_thread::yield();
  heddle_test::recording_delegate d;
  d.inside_enter = [&] { EXPECT_EQ(owner(*d.record), maker); };
  heddle_test::wait_in_vain([&](auto time) { EXPECT_EQ(value.get_for(time), nullptr); },
                            [&] { return !d.log.empty(); });
  EXPECT_THAT(d.log, ElementsAre(HasSubstr("index"), HasSubstr("index")));
  d.refuse = true;
  EXPECT_THROW(value.get(), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  may_end = true;
  making.join();
  EXPECT_EQ(value.get(), 1);
}

TEST(lazy, records_its_waits) {
  const heddle_test::watchdog dog;
  std::atomic<bool> begun{false};
  std::atomic<bool> may_end{false};
  lazy value(
      [&] {
        begun = true;
        while (!may_end) std::this_thread::sleep_for(1ms);
        return 1;
      },
      "recorded lazy");
  value.record(heddle::lock_recording::all);
  std::thread making([&] { value.get(); });
  while (!begun) std::this_thread::yield();
  heddle_test::wait_in_vain([&](auto time) { EXPECT_EQ(value.get_for(time), nullptr); },
                            [&] { return value.statistics().given_up != 0; });
  may_end = true;
  making.join();
  EXPECT_EQ(value.statistics().given_up, 1U);
}

}  // namespace
