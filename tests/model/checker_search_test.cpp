// The searches: bounds, replay, what is chosen and what is reset.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <functional>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/model/exactly_once.hpp>
#include <heddle/model/linearizable.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/shared_mutex.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>

namespace {

namespace model = heddle::model;
namespace prim = heddle::prim;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

void expect_pass(const model::result& r) { EXPECT_TRUE(!r.failed && r.complete) << r.describe(); }

// Bounds.

// Fails after exactly three preemptions: each thread must come between two additions of the other.
void needs_three_preemptions() {
  prim::atomic<int> turn{0};
  bool all[4] = {};
  const auto take_turns = [&](int first) {
    for (int i = first; i < 4; i += 2) {
      int expected = i;
      all[i] = turn.compare_exchange_strong(expected, i + 1, prim::relaxed);
    }
  };
  prim::thread other([&] { take_turns(0); });
  take_turns(1);
  other.join();
  model::check(!(all[0] && all[1] && all[2] && all[3]));
}

TEST(checker_bounds, preemptions) {
  model::options o;
  o.preemptions = 2;
  expect_pass(model::explore(o, needs_three_preemptions));
  o.preemptions = 3;
  EXPECT_TRUE(model::explore(o, needs_three_preemptions).failed);
}

TEST(checker_bounds, each_preemption_allows_more_executions) {
  std::uint64_t before = 0;
  for (const unsigned bound : {0u, 1u, 2u, 3u, model::unlimited}) {
    model::options o;
    o.preemptions = bound;
    const auto r = model::explore(o, [] {
      prim::atomic<int> x{0};
      prim::thread other([&] { x.fetch_add(1), x.fetch_add(1), x.fetch_add(1); });
      x.fetch_add(1), x.fetch_add(1), x.fetch_add(1);
      other.join();
    });
    expect_pass(r);
    EXPECT_GT(r.executions, before);
    before = r.executions;
  }
}

TEST(checker_bounds, stale_reads) {
  const auto both_miss = [] {
    prim::atomic<int> x{0}, y{0};
    int a = 0;
    prim::thread other([&] {
      x.store(1, prim::relaxed);
      a = y.load(prim::relaxed);
    });
    y.store(1, prim::relaxed);
    const int b = x.load(prim::relaxed);
    other.join();
    model::check(a + b != 0);
  };
  model::options o;
  o.preemptions = model::unlimited;
  o.stale_reads = 0;
  expect_pass(model::explore(o, both_miss));
  o.stale_reads = 1;
  EXPECT_TRUE(model::explore(o, both_miss).failed);
}

TEST(checker_bounds, allocation_failures) {
  model::options o;
  for (const unsigned bound : {0u, 1u, 2u}) {
    o.allocation_failures = bound;
    std::set<int> refused;
    expect_pass(model::explore(o, [&] {
      int failures = 0;
      for (int i = 0; i < 2; ++i) {
        try {
          prim::deallocate(prim::allocate(8, 8), 8, 8);
        } catch (const std::bad_alloc&) {
          ++failures;
        }
      }
      try {
        prim::thread([] {}).join();
      } catch (const std::system_error&) {
        ++failures;
      }
      refused.insert(failures);
    }));
    EXPECT_EQ(refused.size(), bound + 1);
    EXPECT_EQ(*refused.rbegin(), static_cast<int>(bound));
  }
}

TEST(checker_bounds, limits_of_executions_and_time_leave_a_search_unfinished) {
  const auto body = [] {
    prim::atomic<int> x{0};
    prim::thread other([&] { x.fetch_add(1), x.fetch_add(1); });
    x.fetch_add(1), x.fetch_add(1);
    other.join();
  };
  model::options o;
  o.executions = 3;
  const auto r = model::explore(o, body);
  EXPECT_FALSE(r.failed || r.complete);
  EXPECT_EQ(r.executions, 3u);
  EXPECT_THAT(r.describe(), HasSubstr("not finished"));

  model::options timed;
  timed.preemptions = model::unlimited;
  timed.time_limit = std::chrono::nanoseconds(1);
  const auto stopped = model::explore(timed, [&] { model::choose(200), model::choose(200); });
  EXPECT_FALSE(stopped.failed || stopped.complete);
  EXPECT_EQ(stopped.executions, 256u);
}

TEST(checker_bounds, reports_name_them) {
  model::options o;
  o.name = "empty";
  o.preemptions = 7;
  o.timeouts = model::unlimited;
  const auto text = model::explore(o, [] {}).describe();
  EXPECT_THAT(text, HasSubstr("empty: passed 1 executions"));
  EXPECT_THAT(text, HasSubstr("at most 7 preemptions"));
  EXPECT_THAT(text, HasSubstr("any number of timeouts"));
}

// Other searches.

TEST(checker_search, random_and_pct_find_what_needs_preemptions) {
  for (const auto method : {model::search::random, model::search::pct}) {
    model::options o;
    o.method = method;
    o.executions = 100000;
    o.pct_depth = 5;
    const auto r = model::explore(o, needs_three_preemptions);
    EXPECT_TRUE(r.failed) << r.describe();
    EXPECT_THAT(r.message, HasSubstr("check failed"));
    EXPECT_THAT(r.message, testing::Not(HasSubstr("not deterministic")));
  }
}

TEST(checker_search, a_seed_gives_the_same_search) {
  model::options o;
  o.method = model::search::random;
  o.executions = 100000;
  const auto first = model::explore(o, needs_three_preemptions);
  const auto second = model::explore(o, needs_three_preemptions);
  EXPECT_EQ(first.trail, second.trail);
  EXPECT_EQ(first.executions, second.executions);
}

TEST(checker_search, executions_in_a_second) {
  // Printed, not asserted: machines differ.
  model::options o;
  o.preemptions = model::unlimited;
  std::uint64_t executions = 0;
  std::chrono::nanoseconds elapsed{0};
  while (executions < 200000) {
    const auto r = model::explore(o, [] {
      prim::atomic<int> x{0}, y{0};
      prim::thread other([&] { x.store(1), y.load(), x.store(2), y.load(); });
      y.store(1), x.load(), y.store(2), x.load();
      other.join();
    });
    expect_pass(r);
    executions += r.executions;
    elapsed += r.elapsed;
  }
  std::printf("two threads of four operations: %.0f executions a second\n",
              static_cast<double>(executions) / std::chrono::duration<double>(elapsed).count());
}

// Time.

TEST(checker_time, a_timed_wait_ends_either_way) {
  std::set<bool> outcomes;
  expect_pass(model::explore({}, [&] {
    prim::parker parker;
    prim::thread other([&] { parker.unpark(); });
    const auto begun = prim::clock::now();
    const bool taken = parker.park_until(begun + milliseconds(5));
    model::check(taken || prim::clock::now() >= begun + milliseconds(5));
    outcomes.insert(taken);
    other.join();
  }));
  EXPECT_THAT(outcomes, ElementsAre(false, true));
}

TEST(checker_time, without_timeouts_time_passes_only_when_nothing_else_can_happen) {
  model::options o;
  o.timeouts = 0;
  expect_pass(model::explore(o, [&] {
    prim::parker woken, left_alone;
    std::vector<int> order;
    prim::mutex mutex;
    prim::thread other([&] { woken.unpark(); });
    model::check(woken.park_until(prim::clock::now() + milliseconds(1)));
    prim::thread late([&] {
      prim::parker own;
      model::check(!own.park_until(prim::clock::now() + milliseconds(20)));
      const prim::scoped_lock lock(mutex);
      order.push_back(2);
    });
    model::check(!left_alone.park_until(prim::clock::now() + milliseconds(10)));
    {
      const prim::scoped_lock lock(mutex);
      order.push_back(1);
    }
    other.join();
    late.join();
    model::check(order == std::vector<int>{1, 2});
  }));
}

TEST(checker_time, a_condition_wait_times_out_or_is_notified) {
  std::set<bool> outcomes;
  expect_pass(model::explore({}, [&] {
    prim::mutex mutex;
    prim::condition_variable changed;
    prim::thread other([&] {
      const prim::scoped_lock lock(mutex);
      changed.notify_all();
    });
    {
      const prim::scoped_lock lock(mutex);
      outcomes.insert(changed.wait_until(mutex, prim::clock::now() + milliseconds(5)));
      model::check(!changed.wait_until(mutex, prim::clock::now() - milliseconds(5)) ||
                   !outcomes.empty());
    }
    other.join();
  }));
  EXPECT_THAT(outcomes, ElementsAre(false, true));
}

// Waiters.

TEST(checker_waiters, a_condition_wait_may_end_for_nothing) {
  const auto wakes_alone = [] {
    prim::mutex mutex;
    prim::condition_variable changed;
    bool notified = false;
    prim::thread other([&] {
      const prim::scoped_lock lock(mutex);
      notified = true;
      changed.notify_one();
    });
    {
      const prim::scoped_lock lock(mutex);
      if (!notified) changed.wait(mutex);
      model::check(notified);
    }
    other.join();
  };
  model::options o;
  EXPECT_TRUE(model::explore(o, wakes_alone).failed);
  o.spurious_failures = 0;
  expect_pass(model::explore(o, wakes_alone));
}

TEST(checker_waiters, notify_one_wakes_any_of_them) {
  std::set<int> first_awake;
  model::options o;
  o.preemptions = 0;
  o.spurious_failures = 0;
  expect_pass(model::explore(o, [&] {
    prim::mutex mutex;
    prim::condition_variable changed;
    int waiting = 0;
    int first = -1;
    const auto wait = [&](int number) {
      const prim::scoped_lock lock(mutex);
      ++waiting;
      changed.wait(mutex);
      if (first < 0) first = number;
    };
    prim::thread a([&] { wait(0); }), b([&] { wait(1); });
    for (bool both = false; !both;) {
      prim::yield();
      const prim::scoped_lock lock(mutex);
      both = waiting == 2;
    }
    for (int i = 0; i < 2; ++i) {
      const prim::scoped_lock lock(mutex);
      changed.notify_one();
    }
    a.join();
    b.join();
    first_awake.insert(first);
  }));
  EXPECT_THAT(first_awake, ElementsAre(0, 1));
}

TEST(checker_waiters, tokens_do_not_add_up) {
  expect_pass(model::explore({}, [] {
    prim::parker parker;
    parker.unpark();
    parker.unpark();
    parker.park();
    model::check(!parker.park_until(prim::clock::now() + milliseconds(1)));
  }));
}

TEST(checker_waiters, readers_share_and_writers_do_not) {
  std::set<int> most_readers;
  expect_pass(model::explore({}, [&] {
    prim::shared_mutex mutex;
    prim::cell<int> value{0};
    prim::atomic<int> inside{0};
    int most = 0;
    const auto read = [&] {
      mutex.lock_shared();
      most = std::max(most, inside.fetch_add(1, prim::relaxed) + 1);
      value.get();
      inside.fetch_sub(1, prim::relaxed);
      mutex.unlock_shared();
    };
    prim::thread reader(read);
    prim::thread writer([&] {
      mutex.lock();
      value.set(1);
      mutex.unlock();
    });
    read();
    reader.join();
    writer.join();
    most_readers.insert(most);
  }));
  EXPECT_THAT(most_readers, ElementsAre(1, 2));
}

TEST(checker_waiters, try_lock_may_fail_on_a_free_mutex) {
  model::options o;
  for (const unsigned bound : {0u, 1u}) {
    o.spurious_failures = bound;
    std::set<bool> locked;
    expect_pass(model::explore(o, [&] {
      prim::mutex mutex;
      const bool got = mutex.try_lock();
      if (got) mutex.unlock();
      locked.insert(got);
    }));
    EXPECT_EQ(locked.size(), bound + 1);
  }
}

// Threads.

TEST(checker_threads, values_and_exit_hooks_are_each_threads_own) {
  struct hook final : prim::thread_exit_hook {
    explicit hook(std::vector<int>& l, int n)
        : prim::thread_exit_hook([](prim::thread_exit_hook* h) noexcept {
            auto* const self = static_cast<hook*>(h);
            self->log.push_back(self->number);
          }),
          log(l),
          number(n) {}
    std::vector<int>& log;
    int number;
  };
  expect_pass(model::explore({}, [] {
    std::vector<int> log;
    hook first(log, 1), second(log, 2);
    int mine = 0;
    prim::thread_value(prim::thread_slot::context) = &mine;
    prim::thread other([&] {
      model::check(prim::thread_value(prim::thread_slot::context) == nullptr);
      prim::at_thread_exit(first);
      prim::at_thread_exit(second);
    });
    other.join();
    model::check(prim::thread_value(prim::thread_slot::context) == &mine);
    model::check(log == std::vector<int>{2, 1});
  }));
}

TEST(checker_threads, a_large_callable_and_arguments) {
  expect_pass(model::explore({}, [] {
    std::array<char, 2000> large{};
    large[1999] = 7;
    prim::atomic<int> sum{0};
    prim::thread other([large, &sum](int more) { sum.store(large[1999] + more); }, 5);
    model::check(other.get_id() != prim::this_thread_id() && other.joinable());
    prim::thread moved = std::move(other);
    moved.join();
    model::check(sum.load() == 12 && !moved.joinable() && !other.joinable());
  }));
}

TEST(checker_threads, an_execution_waits_for_detached_threads) {
  int ended = 0;
  int executions = 0;
  expect_pass(model::explore({}, [&] {
    ++executions;
    prim::thread([&] {
      prim::yield();
      ++ended;
    }).detach();
  }));
  EXPECT_EQ(ended, executions);
}

// Stop requests.

TEST(checker_stop, the_destructor_of_a_callback_waits_for_it) {
  const auto body = [](bool in_callback) {
    prim::stop_source source;
    prim::atomic<bool> running{false};
    prim::thread other([&] { source.request_stop(); });
    {
      const auto callback = [&] {
        running.store(true, prim::relaxed);
        if (in_callback) model::check(source.stop_requested());
        running.store(false, prim::relaxed);
      };
      const prim::stop_callback<decltype(callback)> link(source.get_token(), callback);
    }
    model::check(!running.load(prim::relaxed));
    other.join();
    model::check(!source.request_stop() && source.get_token().stop_requested());
  };
  expect_pass(model::explore({}, [&] { body(false); }));
  expect_pass(model::explore({}, [&] { body(true); }));
}

TEST(checker_stop, a_callback_may_destroy_itself) {
  expect_pass(model::explore({}, [] {
    prim::stop_source source;
    using function = std::function<void()>;
    std::optional<prim::stop_callback<function>> callback;
    callback.emplace(source.get_token(), function([&] { callback.reset(); }));
    model::check(source.request_stop());
    model::check(!callback.has_value());
  }));
}

TEST(checker_stop, tokens_without_a_source) {
  expect_pass(model::explore({}, [] {
    model::check(!prim::stop_token().stop_possible());
    prim::stop_token orphan;
    {
      prim::stop_source source;
      orphan = source.get_token();
      model::check(orphan.stop_possible());
    }
    model::check(!orphan.stop_possible() && !orphan.stop_requested());
    bool ran = false;
    const auto run = [&] { ran = true; };
    const prim::stop_callback<decltype(run)> never(orphan, run);
    model::check(!ran);
  }));
}

// What is the same in every execution.

constinit prim::atomic<int> global{5};
constinit prim::mutex global_mutex;

TEST(checker_executions, globals_start_anew) {
  const auto r = model::explore({}, [] {
    const prim::scoped_lock lock(global_mutex);
    model::check(global.fetch_add(1) == 5);
    model::choose(3);
  });
  expect_pass(r);
  EXPECT_EQ(r.executions, 3u);
  EXPECT_EQ(global.load(), 5);
}

TEST(checker_executions, seeds_and_clock_repeat) {
  std::set<std::uint64_t> first_seeds, second_seeds;
  std::set<std::int64_t> times;
  expect_pass(model::explore({}, [&] {
    model::choose(3);
    first_seeds.insert(prim::next_seed());
    second_seeds.insert(prim::next_seed());
    times.insert(prim::clock::now().time_since_epoch().count());
  }));
  EXPECT_EQ(first_seeds.size(), 1u);
  EXPECT_EQ(second_seeds.size(), 1u);
  EXPECT_NE(first_seeds, second_seeds);
  EXPECT_EQ(times.size(), 1u);
}

TEST(checker_executions, alternatives_are_all_taken) {
  std::multiset<std::string> seen;
  const auto r = model::explore({}, [&] {
    const unsigned a = model::choose(2);
    seen.insert(std::to_string(a) + std::to_string(model::choose(a + 1)));
  });
  expect_pass(r);
  EXPECT_THAT(seen, ElementsAre("00", "10", "11"));
}

// The oracle for linearizability.

struct queue_call {
  bool push;
  int value;  // pushed, or popped; 0: the queue was empty
};

struct queue_specification {
  std::deque<int> values;
  bool apply(const queue_call& c) {
    if (c.push) {
      values.push_back(c.value);
      return true;
    }
    if (values.empty()) return c.value == 0;
    const int first = values.front();
    values.pop_front();
    return c.value == first;
  }
};

// A queue with a lock, whose pop looks before it locks: `sloppy` returns what it saw.
template <bool sloppy>
class small_queue {
 public:
  void push(int v) {
    const prim::scoped_lock lock(mutex_);
    values_.write([&](auto& q) { q.push_back(v); });
    size_.fetch_add(1, prim::relaxed);
  }
  int pop() {
    if (sloppy && size_.load(prim::relaxed) == 0) return 0;
    const prim::scoped_lock lock(mutex_);
    return values_.write([&](auto& q) {
      if (q.empty()) return 0;
      const int first = sloppy ? q.back() : q.front();
      sloppy ? q.pop_back() : q.pop_front();
      return first;
    });
  }

 private:
  prim::mutex mutex_;
  prim::atomic<int> size_{0};
  prim::cell<std::deque<int>> values_;
};

template <bool sloppy>
void pushes_and_pops() {
  small_queue<sloppy> queue;
  model::history<queue_call> calls;
  const auto push = [&](int v) {
    calls.record([&] {
      queue.push(v);
      return queue_call{true, v};
    });
  };
  const auto pop = [&] { calls.record([&] { return queue_call{false, queue.pop()}; }); };
  prim::thread producer([&] { push(1), push(2); });
  pop();
  pop();
  producer.join();
  model::check(calls.linearizable(queue_specification{}), "no order explains the results");
}

TEST(checker_oracle, linearizability) {
  expect_pass(model::explore({}, pushes_and_pops<false>));
  const auto r = model::explore({}, pushes_and_pops<true>);
  EXPECT_TRUE(r.failed);
  EXPECT_THAT(r.message, HasSubstr("no order explains"));
}

TEST(checker_oracle, exactly_once) {
  const auto with = [](auto body) {
    return model::explore({}, [&] {
      model::exactly_once things(2);
      body(things);
      things.check_all();
    });
  };
  expect_pass(with([](auto& things) { things.take(1), things.take(0); }));
  EXPECT_THAT(with([](auto& things) { things.take(1), things.take(1); }).message,
              HasSubstr("1 is taken twice"));
  EXPECT_THAT(with([](auto& things) { things.take(1); }).message, HasSubstr("0 is lost"));
  EXPECT_THAT(with([](auto& things) { things.take(2); }).message, HasSubstr("there is no 2"));
}

TEST(checker_oracle, happens_before_between_moments) {
  expect_pass(model::explore({}, [] {
    prim::atomic<int> flag{0};
    model::moment sent, seen;
    const auto before = model::moment::now();
    prim::thread other([&] {
      sent = model::moment::now();
      flag.store(1, prim::release);
    });
    const bool acquired = flag.load(prim::acquire) == 1;
    seen = model::moment::now();
    other.join();
    model::check(before.happens_before(sent) && !sent.happens_before(before));
    model::check(sent.happens_before(seen) == acquired && !seen.happens_before(sent));
    model::check(sent.happens_before(model::moment::now()) && !sent.happens_before(sent));
  }));
}

}  // namespace
