// Every way in which Heddle hands work to somebody else takes the context along, gives it back, and
// lets it go with the last piece of work.
#include <heddle/data/context.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/algorithm/for_each_batch.hpp>
#include <heddle/algorithm/map_reduce.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/data/cache.hpp>
#include <heddle/data/snapshot.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/task_group.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/when.hpp>
#include <heddle/pattern/producer_consumer.hpp>
#include <heddle/sync/event.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::context;
using heddle::context_key;
using heddle::scoped_context;

const context_key<std::string> request("request", "none");
const context_key<std::shared_ptr<int>> token("token");

std::string seen() { return request.get(); }

// A pool, and a context with a value that tells whether it is still alive. At the end, when the
// pool is gone, nobody has it any more.
class context_travels : public testing::Test {
 protected:
  context_travels() : mine_(context().with(request, "17").with(token, value_)) {}

  void TearDown() override {
    mine_ = context();
    EXPECT_TRUE(heddle_test::eventually([&] { return value_.use_count() == 1; }));
    EXPECT_TRUE(context::current().empty());
  }
  heddle::thread_pool& pool() { return pool_; }
  const context& mine() const { return mine_; }
  long holders() const { return value_.use_count() - 1; }

  // Calls make() in the context, for work that then runs outside of it.
  template <class F>
  auto in_mine(F make) {
    const scoped_context here(mine_);
    return make();
  }

 private:
  const heddle_test::watchdog dog_;
  std::shared_ptr<int> value_ = std::make_shared<int>(1);
  context mine_;
  heddle::thread_pool pool_{2U};
};

TEST_F(context_travels, with_submit) {
  EXPECT_EQ(in_mine([&] { return pool().submit(&seen); }).get(), "17");
  EXPECT_EQ(in_mine([&] { return pool().submit_to(1, &seen); }).get(), "17");
  EXPECT_EQ(in_mine([&] { return pool().submit_keyed(7, &seen); }).get(), "17");
  EXPECT_EQ(pool().submit(&seen).get(), "none");
}

TEST_F(context_travels, with_post) {
  std::atomic<int> right = 0;
  in_mine([&] { pool().post([&] { right += seen() == "17" ? 1 : 100; }); });
  pool().post([&] { right += seen() == "none" ? 1 : 100; });
  pool().wait_idle();
  EXPECT_EQ(right, 2);
}

TEST_F(context_travels, with_bulks) {
  std::atomic<int> right = 0;
  const auto count = [&](std::size_t) { right += seen() == "17" ? 1 : 1000; };
  in_mine([&] { return pool().submit_bulk(20U, count); }).get();
  in_mine([&] { pool().post_bulk(20U, count); });
  std::vector<std::function<std::string()>> each(5, &seen);
  for (auto& f : in_mine([&] { return pool().submit_bulk(each); })) EXPECT_EQ(f.get(), "17");
  pool().wait_idle();
  EXPECT_EQ(right, 40);
}

TEST_F(context_travels, with_then) {
  heddle::manual_reset_event go_on;
  auto first = pool().submit([&] { go_on.wait(); });
  auto second = in_mine([&] { return std::move(first).then([] { return seen(); }); });
  auto third = std::move(second).then([](const std::string& s) { return s + seen(); });
  go_on.set();
  EXPECT_EQ(third.get(), "17none");  // that of whoever called then
}

TEST_F(context_travels, with_then_behind_when_all_and_when_any) {
  auto all = in_mine([&] {
    return heddle::when_all(pool().submit(&seen), pool().submit(&seen))
        .then(pool().executor(), [](auto done) {
          auto [first, second] = done.get();
          return first.get() + second.get() + seen();
        });
  });
  EXPECT_EQ(all.get(), "171717");
  std::vector<heddle::future<std::string>> some;
  some.push_back(pool().submit(&seen));
  auto any = in_mine([&] {
    return heddle::when_any(std::move(some)).then(pool().executor(), [](auto) { return seen(); });
  });
  EXPECT_EQ(any.get(), "17");
}

TEST_F(context_travels, with_then_of_a_shared_future) {
  const heddle::shared_future<std::string> shared = pool().submit(&seen).share();
  auto mine = in_mine([&] { return shared.then([](const std::string&) { return seen(); }); });
  auto nobodys = shared.then([](const std::string&) { return seen(); });
  EXPECT_EQ(mine.get(), "17");
  EXPECT_EQ(nobodys.get(), "none");
}

TEST_F(context_travels, with_then_inline) {
  heddle::promise<int> promise;
  auto first = promise.get_future();
  auto second = in_mine([&] { return std::move(first).then_inline([](int) { return seen(); }); });
  auto third = std::move(second).then_inline([](const std::string& s) { return s + seen(); });
  {
    const scoped_context theirs(request, "18");
    promise.set_value(1);  // which calls them
    EXPECT_EQ(seen(), "18");
  }
  EXPECT_EQ(third.get(), "17none");
  const heddle::shared_future<std::string> shared = pool().submit(&seen).share();
  shared.wait();
  EXPECT_EQ(
      in_mine([&] { return shared.then_inline([](const std::string&) { return seen(); }); }).get(),
      "17")
      << "it is ready: called here";
}

TEST_F(context_travels, with_on_ready) {
  std::vector<std::string> calls;
  const auto call = [&] { calls.push_back(seen()); };
  heddle::promise<int> promise;
  const auto future = promise.get_future();
  in_mine([&] { future.on_ready(call); });
  future.on_ready(call);
  {
    const scoped_context theirs(request, "18");
    promise.set_value(1);
    in_mine([&] { future.on_ready(call); });
    EXPECT_EQ(seen(), "18");
  }
  EXPECT_EQ(calls, std::vector<std::string>({"17", "none", "17"}));

  heddle::manual_executor later;
  in_mine([&] { future.on_ready(later, call); });
  later.drain();
  EXPECT_EQ(calls.back(), "17");
  const heddle::shared_future<int> shared = pool().submit([] { return 1; }).share();
  shared.wait();
  in_mine([&] { shared.on_ready(call); });
  EXPECT_EQ(calls.size(), 5U);
  EXPECT_EQ(calls.back(), "17");
}

TEST_F(context_travels, with_map) {
  std::vector<int> v(20);
  std::iota(v.begin(), v.end(), 0);
  const auto f = [](int) { return seen(); };
  std::vector<std::string> all;
  in_mine([&] {
    for (const std::string& s : pool().map(f, v, 3)) all.push_back(s);
  });
  EXPECT_EQ(all, std::vector<std::string>(20, "17"));

  // Each is submitted by the step that makes room for it.
  auto lazy = in_mine([&] { return pool().map(f, v, 3); });
  all.clear();
  for (const std::string& s : lazy) all.push_back(s);
  EXPECT_EQ(all, std::vector<std::string>(20, "none"));
}

TEST_F(context_travels, with_task_groups) {
  std::atomic<int> right = 0;
  heddle::task_group group(pool());
  in_mine([&] {
    for (int i = 0; i < 20; ++i) group.run([&] { right += seen() == "17" ? 1 : 1000; });
  });
  group.run([&] { right += seen() == "none" ? 1 : 1000; });
  group.wait();
  EXPECT_EQ(right, 21);
}

TEST_F(context_travels, with_parallel_algorithms) {
  std::atomic<int> wrong = 0;
  const auto look = [&] {
    if (seen() != "17") ++wrong;
  };
  const scoped_context here(mine());
  heddle::parallel_invoke(pool(), look, look, look);
  std::atomic<int> met = 0;
  heddle::parallel_for(pool(), 0, 2,
                       [&](int) {
                         look();
                         ++met;
                         while (met < 2) std::this_thread::yield();  // on two threads, that is
                       },
                       {.grain = 1});
  std::vector<int> v(10'000);
  std::iota(v.rbegin(), v.rend(), 0);
  heddle::parallel_reduce(pool(), v, 0, [&](int a, int b) {
    look();
    return a + b;
  });
  heddle::parallel_sort(pool(), v, [&](int a, int b) {
    look();
    return a < b;
  });
  heddle::map_reduce<int, int>(
      pool(), std::span(v).first(100),
      [&](int n, auto& emit) {
        look();
        emit(n % 3, n);
      },
      [&](int, auto) {
        look();
        return 0;
      });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(seen(), "17");
}

TEST_F(context_travels, with_batches) {
  std::atomic<int> wrong = 0;
  std::vector<int> v(1000);
  const scoped_context here(mine());
  heddle::for_each_batch(pool(), v,
                         [&](std::span<int>) {
                           if (seen() != "17") ++wrong;
                         },
                         {.size = 10});
  EXPECT_EQ(wrong, 0);
}

TEST_F(context_travels, with_strands) {
  const heddle::strand strand(pool());
  auto mine = in_mine([&] { return strand.submit(&seen); });
  auto nobodys = strand.submit(&seen);
  EXPECT_EQ(mine.get(), "17");
  EXPECT_EQ(nobodys.get(), "none");
  std::atomic<bool> right = false;
  in_mine([&] { strand.post([&] { right = seen() == "17"; }); });
  strand.submit([] {}).get();
  EXPECT_TRUE(right);
}

TEST_F(context_travels, with_inline_and_manual_executors) {
  heddle::inline_executor here;
  heddle::manual_executor later;
  EXPECT_EQ(in_mine([&] { return heddle::submit(here, &seen); }).get(), "17");
  auto mine = in_mine([&] { return heddle::submit(later, &seen); });
  auto nobodys = heddle::submit(later, &seen);
  later.drain();
  EXPECT_EQ(mine.get(), "17");
  EXPECT_EQ(nobodys.get(), "none");
}

TEST_F(context_travels, with_timers) {
  EXPECT_EQ(in_mine([&] { return heddle::schedule_after(pool(), 1ms, &seen); }).get(), "17");
  heddle::manual_reset_event ticked;
  std::atomic<bool> right = false;
  {
    const auto ticking = in_mine([&] {
      return heddle::schedule_every(pool(), 1ms, [&] {
        right = seen() == "17";
        ticked.set();
      });
    });
    ticked.wait();
  }
  EXPECT_TRUE(right);
  auto never = in_mine([&] { return heddle::schedule_after(pool(), 24h, &seen); });
  EXPECT_TRUE(never.cancel());
}

TEST_F(context_travels, with_producers_and_consumers) {
  std::atomic<int> wrong = 0;
  const scoped_context here(mine());
  heddle::producer_consumer<int> both(
      {}, pool(),
      [&](heddle::item_sink<int>& sink) {
        if (seen() != "17") ++wrong;
        for (int i = 0; i < 10; ++i) static_cast<void>(sink.put(i));
      },
      [&](int) {
        if (seen() != "17") ++wrong;
      });
  both.wait();
  EXPECT_EQ(wrong, 0);
}

// Nobody hands work on here: a listener is called in the middle of a call, and sees its context.
TEST_F(context_travels, not_with_listeners_unless_they_take_it_along) {
  heddle::snapshot<int> s(1);
  std::vector<std::string> calls;
  const auto call = [&](const heddle::snapshot<int>::kept&) { calls.push_back(seen()); };
  const auto first = in_mine([&] { return s.subscribe(call); });
  const auto second = in_mine([&] { return s.subscribe(heddle::in_current_context(call)); });
  s.store(2);
  {
    const scoped_context theirs(request, "18");
    s.store(3);
  }
  EXPECT_EQ(calls, std::vector<std::string>({"none", "17", "18", "17"}));

  calls.clear();
  heddle::cache<int, int> c(
      {.on_removal = [&](int, int, heddle::removal_cause) { calls.push_back(seen()); }});
  in_mine([&] { c.put(1, 1); });
  c.put(1, 2);
  in_mine([&] { c.erase(1); });
  EXPECT_EQ(calls, std::vector<std::string>({"none", "17"}));
  EXPECT_EQ(in_mine([&] { return c.get_or_compute(1, [] { return seen() == "17" ? 17 : 0; }); }),
            17);
}

// On one worker, whatever a task does with its thread's context.
TEST_F(context_travels, nothing_from_one_task_to_the_next) {
  heddle::thread_pool one(1U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(in_mine([&] { return one.submit(&seen); }).get(), "17");
    EXPECT_EQ(one.submit(&seen).get(), "none");
    one.submit([&] { heddle::exchange_current(mine().get()); }).get();  // not put back
    EXPECT_EQ(one.submit(&seen).get(), "none");
    EXPECT_THROW(one.submit([&] {
                      const scoped_context here(request, "18");
                      throw std::runtime_error("out");
                    })
                     .get(),
                 std::runtime_error);
    EXPECT_EQ(one.submit(&seen).get(), "none");
  }
}

// A task that waits may run the one it waits for on its own stack.
TEST_F(context_travels, nothing_between_a_task_and_the_one_it_helps) {
  heddle::thread_pool one(1U);
  auto outer = one.submit([&] {
    auto inner = in_mine([&] { return one.submit(&seen); });
    const std::string theirs = inner.get();
    return theirs + seen();
  });
  EXPECT_EQ(outer.get(), "17none");
}

TEST_F(context_travels, values_die_with_the_last_task_that_carries_them) {
  heddle::manual_reset_event go_on;
  auto value = std::make_shared<int>(2);
  auto busy = pool().submit([&] { go_on.wait(); });
  std::optional<heddle::future<void>> carrier;
  {
    const scoped_context here(token, value);
    carrier.emplace(pool().submit([&] { go_on.wait(); }));
  }
  EXPECT_EQ(value.use_count(), 2);
  go_on.set();
  carrier->get();
  EXPECT_EQ(value.use_count(), 1);  // gone before the result was there
  busy.get();
}

TEST_F(context_travels, values_die_with_discarded_tasks) {
  auto value = std::make_shared<int>(2);
  std::optional<heddle::thread_pool> doomed(1U);
  heddle::manual_reset_event go_on;
  auto busy = doomed->submit([&] { go_on.wait(); });
  {
    const scoped_context here(token, value);
    for (int i = 0; i < 3; ++i) doomed->post([] {});
    doomed->post_bulk(3U, [](std::size_t) {});
    auto dropped = doomed->submit([] {});
  }
  EXPECT_GT(value.use_count(), 1);
  go_on.set();
  doomed->shutdown(heddle::shutdown_mode::cancel);
  doomed.reset();
  EXPECT_EQ(value.use_count(), 1);
}

}  // namespace
