#include <heddle/sync/barrier.hpp>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::barrier;
using heddle::broken_barrier;
using testing::HasSubstr;

namespace prim = heddle::prim;

struct count_phases {
  int* phases;
  void operator()() noexcept { ++*phases; }
};

struct standard_barriers {
  using plain = std::barrier<>;
  using counting = std::barrier<count_phases>;
};
struct our_barriers {
  using plain = barrier<>;
  using counting = barrier<count_phases>;
};

// What the standard asks of a barrier.
template <class B>
class standard_barrier : public testing::Test {};
using barriers = testing::Types<standard_barriers, our_barriers>;
TYPED_TEST_SUITE(standard_barrier, barriers);

TYPED_TEST(standard_barrier, has_the_standard_s_interface) {
  using plain = typename TypeParam::plain;
  static_assert(plain::max() > 1000);
  static_assert(!std::is_copy_constructible_v<plain> && !std::is_copy_assignable_v<plain>);
  static_assert(!std::is_convertible_v<std::ptrdiff_t, plain>);
  using token = typename plain::arrival_token;
  static_assert(std::is_move_constructible_v<token> && std::is_move_assignable_v<token>);
  plain nobody(0);
}

TYPED_TEST(standard_barrier, of_one_never_waits) {
  int phases = 0;
  typename TypeParam::counting b(1, {&phases});
  b.arrive_and_wait();
  b.wait(b.arrive());
  static_cast<void>(b.arrive());
  EXPECT_EQ(phases, 3);
}

TYPED_TEST(standard_barrier, counts_several_arrivals_of_one_thread) {
  int phases = 0;
  typename TypeParam::counting b(3, {&phases});
  auto first = b.arrive(2);
  EXPECT_EQ(phases, 0);
  auto last = b.arrive();
  EXPECT_EQ(phases, 1);
  b.wait(std::move(first));
  b.wait(std::move(last));
}

TYPED_TEST(standard_barrier, expects_those_no_more_who_have_dropped) {
  int phases = 0;
  typename TypeParam::counting b(3, {&phases});
  b.arrive_and_drop();
  static_cast<void>(b.arrive(2));
  EXPECT_EQ(phases, 1);
  static_cast<void>(b.arrive(2));
  EXPECT_EQ(phases, 2);
  static_cast<void>(b.arrive());
  b.arrive_and_drop();
  EXPECT_EQ(phases, 3);
  b.arrive_and_wait();
  EXPECT_EQ(phases, 4);
}

// In each phase everybody writes its part, and after it reads those of the others; the step, alone,
// sees them all.
TYPED_TEST(standard_barrier, keeps_threads_in_step_for_many_phases) {
  const heddle_test::watchdog dog;
  constexpr unsigned threads = 4;
  constexpr int rounds = 200;
  int phases = 0;
  int parts[threads] = {};
  typename TypeParam::counting b(threads, {&phases});
  heddle_test::run_together(threads, [&](unsigned i) {
    for (int r = 1; r <= rounds; ++r) {
      parts[i] = r;
      b.arrive_and_wait();
      for (const int p : parts) EXPECT_EQ(p, r);
      EXPECT_EQ(phases, 2 * r - 1);
      b.arrive_and_wait();
    }
  });
  EXPECT_EQ(phases, 2 * rounds);
}

TEST(barrier, of_zero_lets_nobody_arrive) {
  barrier b(0);
  try {
    static_cast<void>(b.arrive());
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("1 arrive where 0 are missing"));
  }
  EXPECT_THROW(b.arrive_and_wait(), std::invalid_argument);
  EXPECT_THROW(b.arrive_and_drop(), std::invalid_argument);
  b.reset();
  EXPECT_FALSE(b.broken());
  barrier emptied(1);
  emptied.arrive_and_drop();
  EXPECT_THROW(emptied.arrive_and_wait(), std::invalid_argument);
}

TEST(barrier, refuses_numbers_that_make_no_sense) {
  EXPECT_THROW(barrier b(-1), std::invalid_argument);
  barrier b(2);
  EXPECT_THROW(static_cast<void>(b.arrive(0)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(b.arrive(-1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(b.arrive(3)), std::invalid_argument);
  static_cast<void>(b.arrive(2));  // nothing has changed
  b.wait(b.arrive(2));
}

TEST(barrier, refuses_arrivals_during_the_completion_step) {
  struct greedy {
    barrier<greedy>** self;
    int* refused;
    void operator()() noexcept {
      try {
        static_cast<void>((*self)->arrive());
      } catch (const std::invalid_argument&) {
        ++*refused;
      }
    }
  };
  barrier<greedy>* self = nullptr;
  int refused = 0;
  barrier<greedy> b(1, {&self, &refused});
  self = &b;
  b.arrive_and_wait();
  EXPECT_EQ(refused, 1);
  b.arrive_and_wait();
}

TEST(barrier, a_token_outlives_a_wait_that_ends_early) {
  const heddle_test::watchdog dog;
  barrier b(2);
  auto token = b.arrive();
  const auto deadline = prim::clock::now() + 5ms;
  EXPECT_FALSE(b.wait_until(token, deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(b.wait_for(token, -1s));
  std::stop_source source;
  source.request_stop();
  EXPECT_FALSE(b.wait(token, source.get_token()));
  EXPECT_FALSE(b.broken());
  static_cast<void>(b.arrive());
  EXPECT_TRUE(b.wait_for(token, -1s));
  EXPECT_TRUE(b.wait(token, source.get_token()));
  b.wait(std::move(token));
}

TEST(barrier, breaks_for_all_when_one_gives_up) {
  const heddle_test::watchdog dog;
  int phases = 0;
  barrier<count_phases> b(4, {&phases});
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i) {
    others.emplace_back([&] { EXPECT_THROW(b.arrive_and_wait(), broken_barrier); });
  }
  std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(b.arrive_and_wait_for(1ms));
  for (std::thread& t : others) t.join();
  EXPECT_TRUE(b.broken());
  EXPECT_THROW(static_cast<void>(b.arrive()), broken_barrier);
  EXPECT_THROW(b.arrive_and_wait_for(-1s), broken_barrier);
  b.reset();
  EXPECT_FALSE(b.broken());
  b.wait(b.arrive(4));
  EXPECT_EQ(phases, 1);
}

TEST(barrier, a_timeout_that_has_passed_still_completes_a_phase) {
  barrier b(2);
  static_cast<void>(b.arrive());
  EXPECT_TRUE(b.arrive_and_wait_for(-1h));
  static_cast<void>(b.arrive());
  EXPECT_TRUE(b.arrive_and_wait_until(prim::time_point::min()));
  EXPECT_FALSE(b.arrive_and_wait_for(-1h));
  EXPECT_TRUE(b.broken());
}

TEST(barrier, breaks_when_a_stop_is_requested) {
  const heddle_test::watchdog dog;
  barrier b(3);
  std::stop_source source;
  std::thread stopped([&] { EXPECT_FALSE(b.arrive_and_wait(source.get_token())); });
  std::thread patient([&] { EXPECT_THROW(b.arrive_and_wait(), broken_barrier); });
  std::this_thread::sleep_for(2ms);
  source.request_stop();
  stopped.join();
  // It broke the barrier, whether the other was there or came later.
  patient.join();
  EXPECT_TRUE(b.broken());
}

TEST(barrier, abort_frees_all) {
  const heddle_test::watchdog dog;
  barrier b(4);
  std::vector<std::thread> others;
  others.emplace_back([&] { EXPECT_THROW(b.arrive_and_wait(), broken_barrier); });
  others.emplace_back([&] { EXPECT_THROW(b.arrive_and_wait_for(1h), broken_barrier); });
  std::thread with_token([&] {
    try {
      auto token = b.arrive();
      b.wait(std::move(token));
      ADD_FAILURE();
    } catch (const broken_barrier& e) {
      EXPECT_THAT(e.what(), HasSubstr("broken"));
    }
  });
  std::this_thread::sleep_for(2ms);
  b.abort();
  b.abort();
  for (std::thread& t : others) t.join();
  with_token.join();
}

TEST(barrier, abort_during_the_completion_step_breaks_the_phase) {
  struct aborts {
    barrier<aborts>** self;
    void operator()() noexcept { (*self)->abort(); }
  };
  barrier<aborts>* self = nullptr;
  barrier<aborts> b(2, {&self});
  self = &b;
  auto token = b.arrive();
  EXPECT_THROW(b.arrive_and_wait(), broken_barrier);
  EXPECT_THROW(b.wait(std::move(token)), broken_barrier);
  EXPECT_TRUE(b.broken());
}

TEST(barrier, reset_breaks_the_phase_in_which_some_have_arrived) {
  const heddle_test::watchdog dog;
  barrier b(2);
  auto before = b.arrive();
  std::thread waiting(
      [&] { EXPECT_THROW(static_cast<void>(b.wait_for(before, 1h)), broken_barrier); });
  std::this_thread::sleep_for(2ms);
  b.reset();
  waiting.join();
  EXPECT_FALSE(b.broken());
  b.reset();  // nobody has arrived: nothing to break
  b.wait(b.arrive(2));
}

TEST(barrier, whoever_fails_can_leave_a_broken_barrier) {
  barrier b(3);
  b.abort();
  b.arrive_and_drop();
  b.arrive_and_drop();
  b.reset();
  b.arrive_and_wait();  // one is left
}

TEST(barrier, breaks_when_the_delegate_lets_nobody_wait) {
  heddle_test::recording_delegate d;
  barrier b(2, "rendezvous");
  EXPECT_STREQ(b.name(), "rendezvous");
  auto token = b.arrive();
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(b.wait_for(token, time)); },
                            [&] { return !d.log.empty(); });
  EXPECT_THAT(d.log, testing::ElementsAre(HasSubstr("rendezvous"), HasSubstr("rendezvous")));
  d.refuse = true;
  EXPECT_THROW(static_cast<void>(b.wait_for(token, 1h)), heddle::would_starve);
  EXPECT_FALSE(b.broken());
  static_cast<void>(b.arrive());
  EXPECT_THROW(b.arrive_and_wait(), heddle::would_starve);
  EXPECT_TRUE(b.broken());
  heddle_test::overwrite_dead_stack();
  b.reset();  // nobody may still be in the queue
  b.wait(b.arrive(2));
}

TEST(barrier, records_its_waits) {
  barrier b(2, "recorded barrier");
  b.record(heddle::lock_recording::all);
  auto token = b.arrive();
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(b.wait_for(token, time)); },
                            [&] { return b.statistics().given_up != 0; });
  b.arrive_and_wait();
  const auto s = b.statistics();
  EXPECT_EQ(s.acquisitions, 1U);
  EXPECT_EQ(s.given_up, 1U);
}

}  // namespace
