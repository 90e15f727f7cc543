#include <heddle/base/unique_task.hpp>
#include <heddle/prim/atomic.hpp>

#include <exec/job_queue.hpp>

#include <memory>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::job;
using heddle::unique_task;
using heddle::verb;
using heddle::detail::job_chain;
using heddle::detail::job_queue;

template <class F>
job_chain one_job(F&& f) {
  unique_task task(std::forward<F>(f));
  job_chain chain;
  chain.append(task.release());
  return chain;
}

void run_one(job_queue& q) {
  if (job* const j = q.pop()) j->run(j, verb::run);
}

// Fails when pop does without the lock.
TEST(JobQueueModel, EachJobRunsOnce) {
  holds([] {
    job_queue q;
    prim::cell<int> runs[2];
    const auto submit = [&](int i) {
      runs[i].set(1);
      q.push(one_job([&, i] { runs[i].set(runs[i].get() + 1); }), job_queue::origin::outside);
    };
    prim::thread producer([&] { submit(0); });
    prim::thread consumer([&] {
      run_one(q);
      run_one(q);
    });
    submit(1);
    run_one(q);
    producer.join();
    consumer.join();
    run_one(q);
    model::check(runs[0].get() == 2 && runs[1].get() == 2, "each job runs once");
    model::check(q.pop() == nullptr && q.pushed() == 2);
  });
}

// Fails when push counts what it then refuses.
TEST(JobQueueModel, ClosedAgainstPush) {
  holds([] {
    job_queue q;
    prim::cell<int> runs;
    bool accepted = false;
    prim::thread producer([&] {
      const job_chain chain = one_job([&] { runs.set(1); });
      accepted = q.push(chain, job_queue::origin::outside);
      if (!accepted) chain.first->run(chain.first, verb::discard);
    });
    q.close();
    const auto pushed_at_close = q.pushed();
    producer.join();
    model::check(accepted || q.pushed() == 0);
    model::check(pushed_at_close <= q.pushed());
    run_one(q);
    model::check(runs.get() == (accepted ? 1 : 0), "what was accepted runs");
  });
}

// Whoever has seen a job sees it counted: in_flight() relies on it. Fails when the job is counted
// outside of the lock.
TEST(JobQueueModel, CountedBeforeItCanBeSeen) {
  holds([] {
    job_queue q;
    prim::atomic<int> done{0};
    prim::thread producer([&] { q.push(one_job([] {}), job_queue::origin::outside); });
    prim::thread consumer([&] {
      if (job* const j = q.pop()) {
        j->run(j, verb::run);
        done.store(1, prim::release);
      }
    });
    if (done.load(prim::acquire) == 1) model::check(q.pushed() == 1, "seen done, so counted");
    producer.join();
    consumer.join();
    run_one(q);
  });
}

// Jobs taken out of the middle while others come and go. Fails when take_if forgets the last one.
TEST(JobQueueModel, TakenOutOfTheMiddle) {
  holds([] {
    job_queue q;
    int runs = 0;
    const auto work = [&] { ++runs; };
    q.push(one_job(work), job_queue::origin::outside);
    q.push(one_job(work), job_queue::origin::outside);
    run_one(q);
    prim::thread producer([&] { q.push(one_job([] {}), job_queue::origin::outside); });
    job_chain taken = q.take_if([](const job*) { return true; });
    producer.join();
    for (job* j = taken.first; j != nullptr;) {
      job* const rest = j->next;
      j->run(j, verb::discard);
      j = rest;
    }
    run_one(q);
    model::check(q.size() == 0 && runs == 1, "the rest was taken out");
  });
}

// A callable is handed from thread to thread, and destroyed once, run or not. Fails when a
// moved-from task keeps its job.
TEST(UniqueTaskModel, HandedOver) {
  holds([] {
    prim::atomic<unique_task*> place{nullptr};
    auto data = std::make_unique<prim::cell<int>>();
    prim::cell<int>* const seen = data.get();
    unique_task task([d = std::move(data)] { d->set(d->get() + 1); });
    seen->set(1);
    prim::thread taker([&] {
      if (unique_task* const t = place.exchange(nullptr, prim::acq_rel)) {
        unique_task own = std::move(*t);
        if (model::choose(2) == 0) std::move(own)();
      }
    });
    place.store(&task, prim::release);
    if (unique_task* const t = place.exchange(nullptr, prim::acq_rel)) std::move (*t)();
    taker.join();
  });
}

}  // namespace
