// Tasks: what they cost, who destroys them, and the tokens that stop them.
#include <heddle/future/make_task.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::future;
using heddle::job;
using heddle::promise;
using heddle::shared_future;
using heddle::verb;
using heddle::detail::make_task;

template <class F>
auto made(F&& f) {
  return make_task(heddle::executor_ref{}, prim::stop_token{}, std::forward<F>(f));
}
template <class F>
auto made(prim::stop_token user_stop, F&& f) {
  return make_task(heddle::executor_ref{}, prim::stop_token{}, std::move(user_stop),
                   std::forward<F>(f));
}

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

// The read-modify-writes of a body with one thread: those in the log of an execution that fails at
// its end.
unsigned exchanges_of(const std::function<void()>& body) {
  model::options o;
  o.name = name_of_this_test();
  o.spurious_failures = 0;
  const model::result r = model::explore(o, [&] {
    body();
    model::fail("counted");
  });
  EXPECT_EQ(r.executions, 1U);
  unsigned count = 0;
  for (const std::string_view what : {" modify ", " compare_exchange "}) {
    for (auto at = r.log.find(what); at != std::string::npos; at = r.log.find(what, at + 1)) {
      ++count;
    }
  }
  return count;
}

// One to claim, and one that makes it ready, takes the waiters and gives the state away. Each test
// fails when there is one more.
TEST(TaskCost, SubmittedRunAndRead) {
  EXPECT_EQ(exchanges_of([] {
              auto [f, work] = made([] { return 1; });
              work->run(work, verb::run);
              f.get();
            }),
            2U);
}

TEST(TaskCost, HelpedAndRead) {
  EXPECT_EQ(exchanges_of([] {
              auto [f, work] = made([] { return 1; });
              work->run(work, verb::help);
              f.get();                     // leaves, and the queue has the entry still: one more
              work->run(work, verb::run);  // and one more
            }),
            4U);
}

TEST(TaskCost, DroppedAndRun) {
  EXPECT_EQ(exchanges_of([] {
              auto [f, work] = made([] { return 1; });
              {
                const auto dropped = std::move(f);
              }
              work->run(work, verb::run);
            }),
            3U);
}

TEST(TaskCost, Promised) {
  EXPECT_EQ(exchanges_of([] {
              promise<int> p;
              auto f = p.get_future();
              p.set_value(1);
              f.get();
            }),
            2U);
}

TEST(TaskCost, ReadyFromTheStart) {
  EXPECT_EQ(exchanges_of([] { heddle::make_ready_future(1).get(); }), 0U);
}

// Each brings one of the three things about. Fails when the entry's end does not look at who has
// left, when finishing does not, when the last consumer does not see who has finished, and when
// any of the three has no release or no acquire.
TEST(TaskModel, HelpedAndBuriedAndForgotten) {
  holds([] {
    prim::cell<bool> gone;
    auto task = made([t = traced(gone)] { return std::make_unique<int>(1); });
    auto f = std::make_optional(std::move(task.result));
    prim::thread worker([w = task.work] { w->run(w, verb::run); });
    task.work->run(task.work, verb::help);
    if (model::choose(2) == 0) {
      model::check(*f->get() == 1);
    } else {
      f.reset();
    }
    worker.join();
    model::check(gone.get());
  });
}

// The same for work that is given up, from both sides.
TEST(TaskModel, CancelledAndDiscardedAndForgotten) {
  holds([] {
    prim::cell<bool> gone;
    auto task = made([t = traced(gone)] {});
    prim::thread worker([w = task.work] { w->run(w, verb::discard); });
    task.result.cancel();
    {
      const auto dropped = std::move(task.result);
    }
    worker.join();
    model::check(gone.get());
  });
}

// Fails when a consumer that is not the only one leaves without acquire, or believes that it is.
TEST(TaskModel, TwoOwnersLeaveWhileItRuns) {
  holds([] {
    auto task = made([] { return std::make_unique<int>(1); });
    auto one = std::move(task.result).share();
    auto two = std::make_optional(one);
    prim::thread worker([w = task.work] { w->run(w, verb::run); });
    prim::thread reader([&] {
      if (two->ready()) model::check(*two->get() == 1);
      two.reset();
    });
    if (one.ready()) model::check(*one.get() == 1);
    one = {};
    worker.join();
    reader.join();
  });
}

// Fails when a reader of many takes the error away.
TEST(TaskModel, TwoReadOneError) {
  holds([] {
    auto task = made([]() -> int { throw std::runtime_error("wrong"); });
    auto one = std::move(task.result).share();
    prim::thread worker([w = task.work] { w->run(w, verb::run); });
    prim::thread reader([two = one] {
      try {
        two.get();
        model::fail("a value from an exception");
      } catch (const std::runtime_error&) {
      }
    });
    model::check(one.exception() != nullptr);
    worker.join();
    reader.join();
  });
}

// Fails when a callback that comes late is not called, and when the node is used after it was.
TEST(TaskModel, CallbackAgainstResult) {
  holds([] {
    prim::cell<int> calls;
    auto task = made([] { return 1; });
    prim::thread worker([w = task.work] { w->run(w, verb::run); });
    task.result.on_ready([&] { calls.set(calls.get() + 1); });
    if (model::choose(2) == 0) {
      const auto dropped = std::move(task.result);
    }
    worker.join();
    model::check(calls.get() == 1);
  });
}

// The token is tripped while a worker takes the task up. Fails when the claimer does not destroy
// the link before the result can be seen, and when a callback that lost the claim still gives up.
TEST(TaskModel, TokenAgainstRun) {
  holds([] {
    prim::cell<int> runs;
    prim::cell<bool> gone;
    prim::stop_source stop;
    auto task = made(stop.get_token(), [&runs, t = traced(gone)] { runs.set(runs.get() + 1); });
    prim::thread stopper([&] { stop.request_stop(); });
    prim::thread worker([w = task.work] { w->run(w, verb::run); });
    task.result.wait();
    model::check(gone.get());
    model::check(runs.get() == (task.result.failed() ? 0 : 1));
    {
      const auto dropped = std::move(task.result);
    }
    stopper.join();
    worker.join();
  });
}

// The token is tripped while the link is armed. Fails when arm() destroys a link that is being
// made, and when neither side cancels.
TEST(TaskModel, TokenAgainstSubmission) {
  holds([] {
    prim::stop_source stop;
    prim::thread stopper([&] { stop.request_stop(); });
    auto task = made(stop.get_token(), [] {});
    if (model::choose(2) == 0) {
      const auto dropped = std::move(task.result);
    }
    stopper.join();
    if (task.result.valid()) model::check(task.result.ready() && task.result.failed());
    task.work->run(task.work, verb::run);
  });
}

// Fails when destroying the link does not wait for a callback that is under way.
TEST(TaskModel, TokenAgainstCancel) {
  holds([] {
    prim::stop_source stop;
    auto task = made(stop.get_token(), [] {});
    prim::thread stopper([&] { stop.request_stop(); });
    prim::thread worker([w = task.work] { w->run(w, verb::discard); });
    task.result.cancel();
    {
      const auto dropped = std::move(task.result);
    }
    stopper.join();
    worker.join();
  });
}

// Work that looks at its token hears of the user's, whenever that is tripped. Fails when cancelling
// work that runs does not ask it to stop.
TEST(TaskModel, TokenReachesWorkThatRuns) {
  holds([] {
    prim::stop_source stop;
    prim::stop_token seen;
    auto task = made(stop.get_token(), [&](prim::stop_token own) {
      seen = std::move(own);
      stop.request_stop();
    });
    prim::thread stopper([&] { stop.request_stop(); });
    task.work->run(task.work, verb::run);
    stopper.join();
    model::check(task.result.ready());
    model::check(seen.stop_requested() != task.result.failed(), "it ran and heard, or never ran");
  });
}

}  // namespace
