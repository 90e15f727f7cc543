#include <heddle/base/unhandled.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/future/when.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::future;
using heddle::promise;
using heddle::verb;

// A part of a callable, whose end the checker sees.
class traced {
 public:
  explicit traced(prim::cell<bool>& gone) noexcept : gone_(&gone) {}
  traced(traced&& other) noexcept : gone_(std::exchange(other.gone_, nullptr)) {}
  ~traced() {
    if (gone_ != nullptr) gone_->set(true);
  }

 private:
  prim::cell<bool>* gone_;
};

// A task as a pool makes it: its job, and the future of its result.
template <class F>
auto make_task(F f) {
  return heddle::detail::make_task(heddle::executor_ref{}, prim::stop_token{}, std::move(f));
}

// Fails when the outcome is stored after complete.
TEST(FutureModel, ValueArrives) {
  holds([] {
    promise<int> p;
    auto f = p.get_future();
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(1); });
    if (f.ready()) model::check(!f.failed());
    model::check(f.get() == 1);
    producer.join();
  });
}

// Both sides go at once. Fails when the count of references goes down without acquire.
TEST(FutureModel, LastReferenceFromEitherSide) {
  holds([] {
    promise<std::unique_ptr<int>> p;
    auto f = std::make_optional(p.get_future());
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(std::make_unique<int>(1)); });
    if (model::choose(2) == 0) f->wait();
    f.reset();
    producer.join();
  });
}

// Fails when an abandoned promise does not complete.
TEST(FutureModel, BrokenPromise) {
  holds([] {
    promise<int> p;
    auto f = p.get_future();
    prim::thread producer([p = std::move(p)] {});
    try {
      f.get();
      model::fail("a value from nowhere");
    } catch (const heddle::broken_promise&) {
    }
    producer.join();
  });
}

// Fails when the claim is a load and a store.
TEST(FutureModel, CancelAgainstSetValue) {
  holds([] {
    promise<int> p;
    auto f = p.get_future();
    bool set = false;
    prim::thread producer([&set, p = std::move(p)]() mutable { set = p.set_value(1); });
    const bool cancelled = f.cancel();
    bool got = false;
    try {
      got = f.get() == 1;
    } catch (const heddle::cancelled&) {
      got = false;
    }
    producer.join();
    model::check(set != cancelled && got == set, "one of them wins, and that is what is read");
  });
}

// Run, help and cancel meet at one task. Fails when the claim is a load and a store, and when the
// callable is destroyed after the result can be seen.
TEST(FutureModel, RunAgainstHelpAgainstCancel) {
  holds([] {
    prim::cell<int> runs;
    prim::cell<bool> gone;
    auto [f, work] = make_task([&runs, t = traced(gone)] { runs.set(runs.get() + 1); });
    prim::thread worker([w = work] { w->run(w, verb::run); });
    bool cancelled = false;
    if (model::choose(2) == 0) {
      work->run(work, verb::help);
    } else {
      cancelled = f.cancel();
    }
    f.wait();
    model::check(gone.get(), "the callable is gone when the future is ready");
    model::check(f.failed() == cancelled);
    model::check(runs.get() == (cancelled ? 0 : 1), "it runs once, unless it is cancelled");
    worker.join();
  });
}

// Fails when the error is stored after complete.
TEST(FutureModel, ExceptionArrivesAndIsFreedByItsReader) {
  holds([] {
    auto [f, work] = make_task([]() -> int { throw std::runtime_error("wrong"); });
    prim::thread worker([w = work] { w->run(w, verb::run); });
    try {
      f.get();
      model::fail("a value from an exception");
    } catch (const std::runtime_error&) {
    }
    worker.join();
  });
}

// Fails when a wait that ran out of time does not take the wake-up that is on its way.
TEST(FutureModel, TimedWaitThenGone) {
  holds([] {
    promise<int> p;
    auto f = std::make_optional(p.get_future());
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(1); });
    if (f->wait_until(soon())) model::check(f->get() == 1);
    f.reset();
    producer.join();
  });
}

// Fails when the stop callback wakes though it could not detach the node.
TEST(FutureModel, StoppedWaitThenGone) {
  holds([] {
    promise<int> p;
    auto f = std::make_optional(p.get_future());
    prim::stop_source stop;
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(1); });
    prim::thread stopper([&] { stop.request_stop(); });
    if (f->wait(stop.get_token())) model::check(f->get() == 1);
    f.reset();
    producer.join();
    stopper.join();
  });
}

// Fails when a continuation that comes late is not posted.
TEST(FutureModel, ThenAgainstSetValue) {
  holds([] {
    promise<int> p;
    auto f = p.get_future();
    prim::cell<int> runs;
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(1); });
    auto g = std::move(f).then_inline([&](int v) {
      runs.set(runs.get() + 1);
      return v + 1;
    });
    if (model::choose(2) == 0) model::check(g.get() == 2 && runs.get() == 1);
    producer.join();
  });
}

// A continuation is cancelled while it comes up. Fails when the claim is a load and a store.
TEST(FutureModel, CancelAgainstContinuation) {
  holds([] {
    promise<int> p;
    auto g = p.get_future().then_inline([](int v) { return v + 1; });
    prim::thread producer([p = std::move(p)]() mutable { p.set_value(1); });
    const bool cancelled = g.cancel();
    g.wait();
    model::check(g.failed() == cancelled);
    producer.join();
  });
}

// Fails when the owner leaves before the wake-ups that are under way.
TEST(FutureModel, WaitForTheFirstOfTwo) {
  holds([] {
    promise<int> p, q;
    std::vector<future<int>> futures;
    futures.push_back(p.get_future());
    futures.push_back(q.get_future());
    prim::thread one([p = std::move(p)]() mutable { p.set_value(1); });
    prim::thread two([q = std::move(q)]() mutable { q.set_value(2); });
    const auto r = heddle::wait(futures, heddle::wait_condition::first_completed);
    model::check(!r.done.empty() && r.done.size() + r.not_done.size() == 2);
    futures.clear();
    one.join();
    two.join();
  });
}

// Fails when the owner takes the count of a node that it could not detach.
TEST(FutureModel, WaitForTwoWithALimit) {
  holds([] {
    promise<int> p, q;
    std::vector<future<int>> futures;
    futures.push_back(p.get_future());
    futures.push_back(q.get_future());
    prim::thread one([p = std::move(p), q = std::move(q)]() mutable {
      p.set_value(1);
      q.set_value(2);
    });
    const auto r = heddle::wait(futures, heddle::wait_condition::all_completed, soon());
    model::check(r.done.size() + r.not_done.size() == 2);
    futures.clear();
    one.join();
  });
}

// Fails when the view goes before the wake-ups that are under way.
TEST(FutureModel, AsCompletedLeftEarly) {
  holds([] {
    promise<int> p, q;
    std::vector<future<int>> futures;
    futures.push_back(p.get_future());
    futures.push_back(q.get_future());
    prim::thread one([p = std::move(p)]() mutable { p.set_value(1); });
    prim::thread two([q = std::move(q)]() mutable { q.set_value(2); });
    const unsigned wanted = model::choose(2) + 1;
    unsigned got = 0;
    for (auto& f : heddle::as_completed(futures)) {
      model::check(f.ready());
      f.get();
      if (++got == wanted) break;
    }
    model::check(got == wanted);
    futures.clear();
    one.join();
    two.join();
  });
}

// Fails when the counts are read and written apart.
TEST(FutureModel, WhenAll) {
  holds([] {
    promise<int> p, q;
    std::vector<future<int>> futures;
    futures.push_back(p.get_future());
    futures.push_back(q.get_future());
    prim::thread one([p = std::move(p)]() mutable { p.set_value(1); });
    prim::thread two([q = std::move(q)]() mutable { q.set_value(2); });
    auto all = heddle::when_all(std::move(futures)).get();
    model::check(all[0].get() + all[1].get() == 3);
    one.join();
    two.join();
  });
}

// Fails when the first wake-up detaches the others though not all are attached.
TEST(FutureModel, WhenAny) {
  holds([] {
    promise<int> p, q;
    std::vector<future<int>> futures;
    futures.push_back(p.get_future());
    futures.push_back(q.get_future());
    prim::thread one([p = std::move(p)]() mutable { p.set_value(1); });
    prim::thread two([&q] { q.set_value(2); });
    auto any = heddle::when_any(std::move(futures)).get();
    model::check(any.futures[any.index].ready());
    any.futures.clear();
    one.join();
    two.join();
  });
}

}  // namespace
