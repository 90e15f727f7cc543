// How jobs from outside get to the workers: docs/protocols/pool_sleep.md.

#include <heddle/base/unique_task.hpp>

#include <exec/injection.hpp>

#include <array>
#include <memory>
#include <span>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::job;
using heddle::thread_pool;
using heddle::unique_task;
using heddle::verb;
using heddle::detail::injection;
using heddle::detail::job_chain;
using heddle::detail::job_queue;

// Two consumers take batches of two, each beginning at a shard of its own. Fails when take does
// without the lock, and when it looks into one shard only.
TEST(PoolInjectionModel, BatchesFromTwoShards) {
  holds([] {
    injection queues(2);
    prim::cell<int> runs[3];
    const auto submit = [&](int begin, int end, std::size_t submitter) {
      job_chain chain;
      for (int i = begin; i < end; ++i) {
        runs[i].set(1);
        chain.append(unique_task([&, i] { runs[i].set(runs[i].get() + 1); }).release());
      }
      queues.push(chain, job_queue::origin::outside, submitter);
    };
    const auto take = [&](std::size_t start) {
      std::array<job*, 2> batch{};
      bool busy = false;
      const std::size_t taken = queues.take(start, batch, 1, busy);
      for (job* const j : std::span(batch.data(), taken)) j->run(j, verb::run);
      return taken;
    };
    submit(0, 2, 0);
    prim::thread producer([&] { submit(2, 3, 1); });
    std::size_t theirs = 0;
    prim::thread consumer([&] { theirs = take(0); });
    std::size_t mine = take(1);
    producer.join();
    consumer.join();
    while (!queues.empty()) mine += take(1);
    model::check(theirs + mine == 3 && queues.pushed() == 3);
    for (auto& r : runs) model::check(r.get() == 2, "each job runs once");
  });
}

// A worker takes two of three jobs, which need both workers, and has one of them in its hands while
// the other worker runs the third and falls asleep. Fails when the taker does not notify.
TEST(PoolInjectionModel, WhatATakerHasInItsHandsIsFound) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        std::vector<std::function<void()>> tasks{[&] { m.first(); }, [&] { m.second(); }, [] {}};
        pool.post_bulk(tasks);
      },
      one_preemption());
}

// The same when the last searcher falls asleep beside a job in the other shard. Fails when empty()
// looks into the first shard only.
TEST(PoolInjectionModel, AJobInEitherShardIsFound) {
  holds(
      [] {
        thread_pool pool(tiny(2));
        prim::thread other([&] { model::check(pool.submit([] { return 2; }).get() == 2); });
        other.join();
      },
      one_preemption());
}

}  // namespace
