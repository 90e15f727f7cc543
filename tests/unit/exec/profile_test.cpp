#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <heddle/exec/profile.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/no_more_threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::profile;
using heddle::profile_options;
using heddle::profile_progress;
using heddle::sizing::profile_report;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Short measurements: the tests look at what is done, not at how fast.
profile_options quick(std::vector<int> sizes) {
  profile_options o;
  o.sizes = std::move(sizes);
  o.measurement = 2ms;
  o.min_repetitions = 2;
  o.max_repetitions = 2;
  o.with_adaptive = false;
  return o;
}

void nap() { std::this_thread::sleep_for(200us); }

std::vector<int> sizes_of(const profile_report& r) {
  std::vector<int> sizes;
  for (const auto& s : r.sizes) sizes.push_back(s.size);
  return sizes;
}

TEST(profile, measures_each_size_and_concludes) {
  std::atomic<int> calls = 0;
  const profile_report r = profile([&] { ++calls, nap(); }, quick({3, 1, 2}));
  EXPECT_THAT(sizes_of(r), ElementsAre(1, 2, 3));
  EXPECT_EQ(r.measurements.size(), 6U);
  EXPECT_GT(calls, 6);
  EXPECT_TRUE(r.complete);
  EXPECT_TRUE(r.universal.fitted);
  ASSERT_TRUE(r.recommended);
  EXPECT_THAT(sizes_of(r), Contains(r.recommended->size));
  EXPECT_FALSE(r.recommended->reason.empty());
  EXPECT_EQ(r.little.size(), 3U);
  for (const auto& s : r.sizes) {
    EXPECT_GT(s.throughput.value, 0);
    EXPECT_GE(s.residence.value(), 200e-6) << "sleeps at least so long";
    EXPECT_GE(s.cpu.value(), 0);
    EXPECT_TRUE(s.switches);
    EXPECT_LE(s.busy().value(), s.size * 1.001) << "no more tasks at once than workers";
  }
  EXPECT_GE(r.rivals.size(), 3U);
  EXPECT_THAT(to_text(r), HasSubstr("Recommended size"));
}

TEST(profile, takes_a_list_of_sizes) {
  const auto task = [] { throw std::runtime_error("of the task"); };
  EXPECT_THAT([&] { profile(task, {1, 2}); }, ThrowsMessage<std::runtime_error>("of the task"));
  const std::vector<int> sizes{0};
  EXPECT_THAT([&] { profile(task, sizes); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("a size is 0")));
}

TEST(profile, runs_as_many_tasks_at_once_as_there_are_workers) {
  std::mutex m;
  std::condition_variable changed;
  int now = 0;
  int most = 0;
  bool in_pool_of_four = false;
  profile_options o = quick({4});
  o.on_progress = [&](const profile_progress& p) {
    const std::lock_guard lock(m);
    in_pool_of_four = p.size == 4;
  };
  const auto task = [&] {
    std::unique_lock lock(m);
    most = std::max(most, ++now);
    changed.notify_all();
    changed.wait_for(lock, in_pool_of_four ? 30s : 0s, [&] { return most >= 4; });
    lock.unlock();
    nap();
    lock.lock();
    --now;
  };
  static_cast<void>(profile(task, std::move(o)));
  EXPECT_EQ(most, 4);
}

TEST(profile, finds_sizes_within_the_bound) {
  profile_options o = quick({});
  o.most = 2;
  const profile_report r = profile(nap, std::move(o));
  EXPECT_THAT(sizes_of(r), ElementsAre(1, 2));
}

TEST(profile, of_what_ends_at_once_says_that_it_measured_the_pool) {
  const profile_report r = profile([] {}, quick({1, 2}));
  ASSERT_EQ(r.sizes.size(), 2U);
  EXPECT_GT(r.sizes[0].tasks, 100U);
  if (HEDDLE_TSAN) return;  // where to look at the clock twice takes as long as such a task may
  EXPECT_FALSE(r.sizes[0].residence) << "means nothing here";
  EXPECT_THAT(r.remarks, Contains(HasSubstr("is for the most part the pool")));
}

TEST(profile, of_slow_tasks_lets_each_worker_run_one_and_says_so) {
  std::atomic<int> calls = 0;
  profile_options o = quick({1, 3});
  o.max_repetitions = o.min_repetitions = 1;
  const profile_report r =
      profile([&] { ++calls, std::this_thread::sleep_for(510ms); }, std::move(o));
  EXPECT_EQ(calls, 1 + 3) << "the call that told how long a task takes was a measurement";
  EXPECT_THAT(sizes_of(r), ElementsAre(1, 3));
  EXPECT_EQ(r.sizes[1].tasks, 3U);
  EXPECT_EQ(r.sizes[1].repetitions, 1);
  EXPECT_THAT(r.remarks, Contains(HasSubstr("so each worker ran one at a time")));
}

TEST(profile, throws_what_the_callable_throws_at_once_or_later) {
  EXPECT_THAT([] { profile([] { throw std::runtime_error("no"); }, quick({1})); },
              ThrowsMessage<std::runtime_error>("no"));
  std::atomic<bool> fails = false;
  std::atomic<int> inside = 0;
  profile_options o = quick({2, 3});
  o.on_progress = [&](const profile_progress& p) { fails = p.measured == 1; };
  const auto later = [&] {
    ++inside;
    nap();
    --inside;
    if (fails) throw std::runtime_error("later");
  };
  EXPECT_THROW(profile(later, std::move(o)), std::runtime_error);
  EXPECT_EQ(inside, 0) << "nothing runs any more";
}

TEST(profile, stop_request_ends_it_and_trips_the_tokens_of_tasks) {
  std::stop_source source;
  std::atomic<bool> tripped = false;
  std::atomic<bool> stops = false;
  profile_options o = quick({1, 2});
  o.stop = source.get_token();
  o.on_progress = [&](const profile_progress& p) { stops = p.measured == 1; };
  const auto task = [&](std::stop_token stop) {
    if (!stops) return nap();
    source.request_stop();
    while (!stop.stop_requested()) std::this_thread::yield();
    tripped = true;
  };
  const profile_report r = profile(task, std::move(o));
  EXPECT_TRUE(tripped);
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.measurements.size(), 1U);
  EXPECT_THAT(r.remarks, Contains("Incomplete: a stop was requested."));
}

TEST(profile, stop_requested_before_it_begins) {
  std::stop_source source;
  source.request_stop();
  profile_options o = quick({1, 2});
  o.stop = source.get_token();
  int calls = 0;
  const profile_report r = profile([&] { ++calls; }, std::move(o));
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(r.complete);
  EXPECT_TRUE(r.sizes.empty());
  EXPECT_FALSE(r.recommended);
}

TEST(profile, at_its_time_limit_it_tells_what_it_has) {
  profile_options o = quick({1, 2, 3, 4});
  o.max_repetitions = o.min_repetitions = 1000;
  o.time_limit = 20ms;
  const profile_report r = profile(nap, std::move(o));
  EXPECT_FALSE(r.complete);
  EXPECT_GE(r.measurements.size(), 1U) << "there is always one";
  EXPECT_LT(r.measurements.size(), 4000U);
  EXPECT_TRUE(r.recommended);
  EXPECT_THAT(r.remarks, Contains(HasSubstr("the time limit of 20 ms was reached")));
}

TEST(profile, tells_its_progress_on_the_calling_thread) {
  std::vector<profile_progress> told;
  std::set<std::thread::id> threads;
  profile_options o = quick({1, 2});
  o.on_progress = [&](const profile_progress& p) {
    told.push_back(p);
    threads.insert(std::this_thread::get_id());
  };
  static_cast<void>(profile(nap, std::move(o)));
  EXPECT_THAT(threads, ElementsAre(std::this_thread::get_id()));
  ASSERT_GE(told.size(), 5U) << "while the first tasks are timed, and before each measurement";
  EXPECT_EQ(told.back().measured, 3);
  EXPECT_EQ(told.back().expected, 4);
  EXPECT_GE(told.back().elapsed, told.front().elapsed);
}

TEST(profile, ends_with_what_the_hook_throws) {
  profile_options o = quick({1, 2});
  o.on_progress = [](const profile_progress& p) {
    if (p.measured == 2) throw std::runtime_error("enough");
  };
  EXPECT_THAT([&] { profile(nap, std::move(o)); }, ThrowsMessage<std::runtime_error>("enough"));
}

TEST(profile, runs_the_adaptive_pool_too) {
  profile_options o = quick({1, 2});
  o.with_adaptive = true;
  const profile_report r = profile(nap, std::move(o));
  ASSERT_FALSE(r.rivals.empty());
  EXPECT_EQ(r.rivals.back().name, "adaptive pool");
  EXPECT_GE(r.rivals.back().size, 1);
  EXPECT_LE(r.rivals.back().size, 2) << "the largest size that was asked for";
  EXPECT_GT(r.rivals.back().throughput.value(), 0);
}

TEST(profile, on_a_worker_of_a_pool) {
  heddle::thread_pool pool(1);
  const auto sizes = pool.submit([] { return sizes_of(profile(nap, quick({1, 2}))); }).get();
  EXPECT_THAT(sizes, ElementsAre(1, 2));
}

TEST(profile, of_a_function_and_of_a_const_callable) {
  static std::atomic<int> calls;
  struct counter {
    void operator()() const { ++calls, nap(); }
  };
  const counter c;
  static_cast<void>(profile(c, quick({1})));
  static_cast<void>(profile(*+[] { ++calls, nap(); }, quick({1})));
  EXPECT_GT(calls, 2);
}

TEST(profile, leaves_out_sizes_that_cannot_be_had) {
  profile_options o = quick({1, 2, 7});
  o.on_progress = [](const profile_progress& p) { heddle_test::no_more_threads = p.size == 7; };
  const profile_report r = profile(nap, std::move(o));
  heddle_test::no_more_threads = false;
  EXPECT_THAT(sizes_of(r), ElementsAre(1, 2));
  EXPECT_THAT(r.remarks, Contains(HasSubstr("Size 7 could not be had: ")));
}

TEST(profile, refuses_nonsense_and_names_it) {
  void (*null)() = nullptr;
  EXPECT_THAT([&] { profile(null); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("a null callable")));
  int calls = 0;
  const auto refused = [&](profile_options o, const char* text) {
    EXPECT_THAT([&] { profile([&] { ++calls; }, std::move(o)); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused(quick({0}), "a size is 0");
  refused(quick({2, -1}), "a size is -1");
  refused(quick({2, 100000}), "size 100000, the most is 65536");
  profile_options o = quick({});
  o.most = 0;
  refused(std::move(o), "most is 0");
  o = quick({});
  o.most = 100000;
  refused(std::move(o), "most 100000");
  o = quick({1});
  o.precision = 2;
  refused(std::move(o), "precision is 2");
  o = quick({1});
  o.tolerance = 0;
  refused(std::move(o), "tolerance is 0");
  o = quick({1});
  o.max_repetitions = 0;
  refused(std::move(o), "max_repetitions is 0");
  o = quick({1});
  o.measurement = 0ms;
  refused(std::move(o), "measurement is 0");
  o = quick({1});
  o.time_limit = -1ns;
  refused(std::move(o), "time_limit is -1");
  EXPECT_EQ(calls, 0);
}

}  // namespace
