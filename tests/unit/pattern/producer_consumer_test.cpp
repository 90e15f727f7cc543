#include <heddle/pattern/producer_consumer.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/failing_threads.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::item_sink;
using heddle::producer_consumer;
using heddle::producer_consumer_error;
using heddle::producer_consumer_options;
using heddle::producer_consumer_report;
using heddle::producer_consumer_side;
using testing::HasSubstr;

using work = producer_consumer<int>;

producer_consumer_options of(unsigned producers, unsigned consumers, std::size_t capacity = 4) {
  producer_consumer_options o;
  o.producers = producers;
  o.consumers = consumers;
  o.capacity = capacity;
  return o;
}

void put_hundred(item_sink<int>& sink) {
  for (int i = 1; i <= 100; ++i) {
    if (!sink.put(i)) return;
  }
}
// Until it is over.
void put_endlessly(item_sink<int>& sink) {
  while (sink.put(1)) {
  }
}

void expect_sums_up(const producer_consumer_report& r) {
  EXPECT_EQ(r.produced, r.consumed + r.failed + r.discarded);
  EXPECT_EQ(r.producers, 0U);
  EXPECT_EQ(r.consumers, 0U);
}

// The message of what wait() throws, and what is nested in it.
struct seen_error {
  producer_consumer_side side;
  unsigned index;
  std::string message;
  std::string nested;
};
seen_error error_of(work& w) {
  try {
    w.wait();
  } catch (const producer_consumer_error& e) {
    seen_error seen{e.side(), e.index(), e.what(), ""};
    try {
      std::rethrow_if_nested(e);
    } catch (const std::exception& nested) {
      seen.nested = nested.what();
    }
    return seen;
  }
  ADD_FAILURE() << "wait() has not thrown";
  return {};
}

TEST(producer_consumer, carries_each_item_to_one_consumer) {
  const heddle_test::watchdog dog;
  for (const unsigned producers : {1U, 3U}) {
    for (const unsigned consumers : {1U, 3U}) {
      std::atomic<int> sum{0};
      work w(of(producers, consumers), put_hundred, [&](int i) { sum += i; });
      const auto r = w.wait();
      EXPECT_TRUE(w.finished());
      EXPECT_EQ(sum, static_cast<int>(5050 * producers));
      expect_sums_up(r);
      EXPECT_EQ(r.consumed, 100 * producers);
      EXPECT_EQ(r.errors, 0U);
      EXPECT_EQ(r.capacity, 4U);
      EXPECT_GE(r.peak, 1U);
      EXPECT_LE(r.peak, 4U);
      EXPECT_EQ(w.wait().consumed, 100 * producers) << "again";
    }
  }
}

TEST(producer_consumer, knows_who_is_who) {
  const heddle_test::watchdog dog;
  std::atomic<unsigned> producers{0};
  std::atomic<bool> known{true};
  work w(
      of(3, 2),
      [&](item_sink<int>& sink) {
        producers.fetch_or(1U << sink.index());
        put_hundred(sink);
      },
      [&](int, unsigned consumer) {
        if (consumer >= 2) known = false;
      });
  w.wait();
  EXPECT_EQ(producers, 7U);
  EXPECT_TRUE(known);
}

TEST(producer_consumer, carries_what_can_only_be_moved) {
  const heddle_test::watchdog dog;
  int sum = 0;
  producer_consumer<std::unique_ptr<int>> w(
      of(1, 1),
      [](auto& sink) {
        for (int i = 0; i < 10; ++i) {
          if (!sink.put(std::make_unique<int>(i))) return;
        }
      },
      [&](std::unique_ptr<int> p) { sum += *p; });
  w.wait();
  EXPECT_EQ(sum, 45);
}

TEST(producer_consumer, a_stop_ends_producers_and_consumers_drain) {
  const heddle_test::watchdog dog;
  std::atomic<int> consumed{0};
  work w(of(2, 2), put_endlessly, [&](int) { ++consumed; });
  while (consumed < 10) std::this_thread::yield();
  EXPECT_FALSE(w.wait_for(1ms));
  EXPECT_FALSE(w.finished());
  EXPECT_TRUE(w.request_stop());
  EXPECT_FALSE(w.request_stop());
  EXPECT_TRUE(w.wait_for(1h));
  const auto r = w.wait();
  expect_sums_up(r);
  EXPECT_EQ(r.discarded, 0U);
  EXPECT_EQ(r.consumed, static_cast<std::uint64_t>(consumed));
}

TEST(producer_consumer, a_token_from_outside_ends_producers) {
  const heddle_test::watchdog dog;
  std::stop_source source;
  auto o = of(1, 1);
  o.stop = source.get_token();
  std::atomic<bool> told{false};
  work w(
      o,
      [&](item_sink<int>& sink) {
        put_endlessly(sink);
        told = sink.stop().stop_requested();
      },
      [](int) {});
  source.request_stop();
  EXPECT_EQ(w.wait().discarded, 0U);
  EXPECT_TRUE(told);

  work never(o, put_endlessly, [](int) {});
  EXPECT_EQ(never.wait().produced, 0U);
}

TEST(producer_consumer, the_destructor_stops_and_drains) {
  const heddle_test::watchdog dog;
  std::atomic<int> consumed{0};
  std::atomic<int> put{0};
  {
    const work w(
        of(1, 1, 2),
        [&](item_sink<int>& sink) {
          while (sink.put(1)) ++put;
        },
        [&](int) { ++consumed; });
    while (consumed < 10) std::this_thread::yield();
  }
  EXPECT_EQ(consumed, put);
}

TEST(producer_consumer, a_producer_that_throws_stops_the_others_and_consumers_drain) {
  const heddle_test::watchdog dog;
  std::atomic<int> consumed{0};
  work w(
      of(3, 2),
      [](item_sink<int>& sink) {
        if (sink.index() != 1) return put_endlessly(sink);
        put_hundred(sink);
        throw std::runtime_error("out of thread");
      },
      [&](int) { ++consumed; });
  const seen_error e = error_of(w);
  EXPECT_EQ(e.side, producer_consumer_side::producer);
  EXPECT_EQ(e.index, 1U);
  EXPECT_THAT(e.message, HasSubstr("\"items\": producer 1: out of thread"));
  EXPECT_EQ(e.nested, "out of thread");
  const auto r = w.report();
  expect_sums_up(r);
  EXPECT_EQ(r.errors, 1U);
  EXPECT_EQ(r.discarded, 0U);
  EXPECT_EQ(r.consumed, static_cast<std::uint64_t>(consumed));
  EXPECT_EQ(error_of(w).index, 1U) << "told each time";
}

TEST(producer_consumer, a_consumer_that_throws_stops_producers_and_the_others_drain) {
  const heddle_test::watchdog dog;
  std::atomic<int> calls{0};
  work w(of(2, 2), put_endlessly, [&](int) {
    if (++calls == 20) throw std::runtime_error("torn");
  });
  const seen_error e = error_of(w);
  EXPECT_EQ(e.side, producer_consumer_side::consumer);
  EXPECT_EQ(e.nested, "torn");
  const auto r = w.report();
  expect_sums_up(r);
  EXPECT_EQ(r.failed, 1U);
  EXPECT_EQ(r.discarded, 0U);
}

TEST(producer_consumer, when_no_consumer_is_left_the_rest_is_discarded_and_counted) {
  const heddle_test::watchdog dog;
  work w(of(1, 1, 4), put_endlessly, [](int) { throw std::runtime_error("torn"); });
  EXPECT_EQ(error_of(w).side, producer_consumer_side::consumer);
  const auto r = w.report();
  expect_sums_up(r);
  EXPECT_EQ(r.consumed, 0U);
  EXPECT_EQ(r.failed, 1U);
  EXPECT_LE(r.discarded, 4U);
}

std::atomic<int> unhandled{0};
class counting_unhandled {
 public:
  counting_unhandled()
      : before_(heddle::set_unhandled_handler([](std::exception_ptr) noexcept { ++unhandled; })) {
    unhandled = 0;
  }
  ~counting_unhandled() { heddle::set_unhandled_handler(before_); }
  counting_unhandled(const counting_unhandled&) = delete;
  counting_unhandled& operator=(const counting_unhandled&) = delete;

 private:
  heddle::unhandled_handler before_;
};

TEST(producer_consumer, no_error_is_lost) {
  const heddle_test::watchdog dog;
  const counting_unhandled counting;
  const auto fail = [](item_sink<int>&) { throw std::runtime_error("out of thread"); };
  {
    work w(of(3, 1), fail, [](int) {});
    error_of(w);
    EXPECT_EQ(w.report().errors, 3U);
    EXPECT_EQ(unhandled, 2) << "all but the first, which is read";
  }
  EXPECT_EQ(unhandled, 2);
  {
    const work unread(of(1, 1), fail, [](int) {});
  }
  EXPECT_EQ(unhandled, 3);
}

TEST(producer_consumer, runs_on_a_pool_however_small) {
  const heddle_test::watchdog dog;
  heddle::thread_pool_options options;
  options.workers = 1;
  heddle::thread_pool pool(std::move(options));
  std::atomic<int> sum{0};
  work w(of(2, 2, 1), pool, put_hundred, [&](int i) { sum += i; });
  expect_sums_up(w.wait());
  EXPECT_EQ(sum, 2 * 5050);
}

TEST(producer_consumer, what_an_executor_discards_is_an_error) {
  const heddle_test::watchdog dog;
  const counting_unhandled counting;
  heddle::thread_pool pool;
  pool.shutdown(heddle::shutdown_mode::drain);
  work w(of(1, 1), pool, put_endlessly, [](int) {});
  EXPECT_THAT(error_of(w).message, HasSubstr("discarded"));
  EXPECT_EQ(unhandled, 0) << "cancelled work is no news";
}

TEST(producer_consumer, refuses_what_makes_no_sense) {
  const auto consume = [](int) {};
  EXPECT_THROW(work(of(0, 1), put_hundred, consume), std::invalid_argument);
  EXPECT_THROW(work(of(1, 0), put_hundred, consume), std::invalid_argument);
  EXPECT_THROW(work(of(1, 1, 0), put_hundred, consume), std::invalid_argument);
  EXPECT_THROW(work(of(1, 1), heddle::executor_ref{}, put_hundred, consume), std::invalid_argument);
  const std::function<void(item_sink<int>&)> none;
  EXPECT_THROW(work(of(1, 1), none, consume), std::invalid_argument);
}

TEST(producer_consumer, without_threads_nothing_has_run) {
  const heddle_test::watchdog dog;
  const counting_unhandled counting;
  bool ran = false;
  {
    const heddle_test::failing_threads none;
    EXPECT_THROW(
        work(of(2, 2), [&](item_sink<int>&) { ran = true; }, [](int) {}), std::system_error);
  }
  EXPECT_FALSE(ran);
  EXPECT_EQ(unhandled, 0);
}

TEST(producer_consumer, waits_are_recorded_on_request) {
  const heddle_test::watchdog dog;
  auto o = of(1, 1, 1);
  o.recording = heddle::lock_recording::all;
  o.name = "recorded pages";
  work w(o, put_hundred, [](int) {});
  const auto r = w.wait();
  EXPECT_EQ(r.puts.name, "recorded pages");
  EXPECT_EQ(r.puts.acquisitions, 100U);
  EXPECT_EQ(r.gets.acquisitions, 100U);
}

}  // namespace
