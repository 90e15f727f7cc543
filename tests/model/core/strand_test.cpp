#include <heddle/exec/strand.hpp>
#include <heddle/future/state.hpp>

#include <memory>
#include <optional>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::executor_ref;
using heddle::job;
using heddle::strand;
using heddle::verb;

// Runs what it is given at once, on the poster's thread.
constexpr executor_ref at_once{nullptr, [](void*, job* j) noexcept { j->run(j, verb::run); }};

// Until it is closed; then it discards.
class closeable {
 public:
  executor_ref executor() noexcept {
    return {this, [](void* self, job* j) noexcept {
              const bool closed = static_cast<closeable*>(self)->closed_.load(prim::acquire);
              j->run(j, closed ? verb::discard : verb::run);
            }};
  }
  void close() noexcept { closed_.store(true, prim::release); }

 private:
  prim::atomic<bool> closed_{false};
};

// Keeps one job at a time, for a thread that runs it.
class mailbox {
 public:
  executor_ref executor() noexcept {
    return {this, [](void* self, job* j) noexcept {
              static_cast<mailbox*>(self)->mail_.store(j, prim::release);
            }};
  }
  bool give(verb v) noexcept {
    job* const j = mail_.exchange(nullptr, prim::acquire);
    if (j != nullptr) j->run(j, v);
    return j != nullptr;
  }

 private:
  prim::atomic<job*> mail_{nullptr};
};

// Counts, at its end, what became of it.
class witness {
 public:
  explicit witness(prim::atomic<int>& ends) noexcept : ends_(&ends) {}
  witness(witness&& other) noexcept : ends_(std::exchange(other.ends_, nullptr)) {}
  ~witness() {
    if (ends_ != nullptr) ends_->fetch_add(1, prim::relaxed);
  }

 private:
  prim::atomic<int>* ends_;
};

// Two posters, and whoever finds the strand idle runs the jobs of both. Fails when the strand goes
// idle by a store, when it goes idle relaxed, when a poster's exchange has no release or no
// acquire, and when the posted are taken relaxed.
TEST(StrandModel, TwoPostersAgainstGoingIdle) {
  holds([] {
    const strand one(at_once);
    prim::cell<int> runs;
    prim::cell<int> seen[2];
    const auto post_two = [&](int p) {
      for (int i = 1; i <= 2; ++i) {
        one.post([&, p, i] {
          runs.set(runs.get() + 1);
          model::check(seen[p].get() == i - 1, "a poster's jobs keep their order");
          seen[p].set(i);
        });
      }
    };
    prim::thread other([&] { post_two(1); });
    post_two(0);
    other.join();
    bool inside = true;
    one.post([&] { inside = runs.get() == 4; });
    model::check(inside, "each job has run once, before those that were posted later");
  });
}

// What was done before posting is seen by the job, wherever it runs. Fails when a poster's exchange
// has no release.
TEST(StrandModel, AJobSeesWhatItsPosterDid) {
  holds([] {
    const strand one(at_once);
    prim::cell<int> given[2];
    prim::cell<int> sum;
    const auto post = [&](int p) {
      given[p].set(1);
      one.post([&, p] { sum.set(sum.get() + given[p].get()); });
    };
    prim::thread other([&] { post(1); });
    post(0);
    other.join();
    one.post([&] { model::check(sum.get() == 2); });
  });
}

// More jobs than one turn takes, so that it is posted below again. Fails when what was taken and
// not run in one turn is forgotten.
TEST(StrandModel, SeveralTurns) {
  holds([] {
    const strand one(at_once);
    prim::cell<int> runs;
    prim::thread other([&] {
      for (int i = 0; i < 2; ++i) one.post([&] { runs.set(runs.get() + 1); });
    });
    one.post([&] {
      for (int i = 0; i < 3; ++i) one.post([&] { runs.set(runs.get() + 1); });
    });
    other.join();
    one.post([&] { model::check(runs.get() == 5); });
  });
}

// Goes on when it is discarded, as a coroutine does.
struct goes_on final : job {
  explicit goes_on(prim::cell<int>& counts) noexcept : job(&act), of(counts) {}
  static void act(job* j, verb v) noexcept {
    if (v == verb::discard) return heddle::detail::run_on_trampoline(j);
    prim::cell<int>& counts = static_cast<goes_on*>(j)->of;
    counts.set(counts.get() + 1);
  }
  prim::cell<int>& of;
};

// One of two is discarded in the middle of a turn of its thread, and goes on behind that. Fails
// when the strand is idle before.
TEST(StrandModel, WhatGoesOnWhenDiscardedIsOneAtATime) {
  holds([] {
    constexpr executor_ref refuses{nullptr,
                                   [](void*, job* j) noexcept { j->run(j, verb::discard); }};
    const strand one(refuses);
    prim::cell<int> runs;
    goes_on first(runs), second(runs);
    struct turn final : job {
      turn(const strand& where, job& given) noexcept : job(&act), to(where), what(given) {}
      static void act(job* j, verb) noexcept {
        const auto& self = *static_cast<turn*>(j);
        self.to.executor().post(&self.what);
      }
      const strand& to;
      job& what;
    };
    prim::thread other([&] { one.executor().post(&second); });
    turn outer(one, first);
    heddle::detail::run_on_trampoline(&outer);
    other.join();
    model::check(runs.get() == 2, "both have gone on");
  });
}

// The executor below closes while jobs are posted. Fails when a discarded strand does not discard
// what it holds, and when it does not go idle then.
TEST(StrandModel, DiscardAgainstPost) {
  holds([] {
    prim::atomic<int> ends{0};
    prim::cell<int> runs;
    {
      closeable below;
      const strand one(below.executor());
      const auto post = [&] { one.post([&, w = witness(ends)] { runs.set(runs.get() + 1); }); };
      prim::thread other([&] {
        post();
        post();
      });
      prim::thread closer([&] { below.close(); });
      post();
      other.join();
      closer.join();
      post();
    }
    model::check(ends.load(prim::relaxed) == 4, "each job has one end");
  });
}

// The handle dies while another thread runs the strand's jobs. Fails when the work in progress has
// no reference, when the last reference goes relaxed, and when the core is looked at after its work
// has given up its reference.
TEST(StrandModel, DestroyedWhileItRuns) {
  holds([] {
    mailbox below;
    prim::cell<int> runs;
    prim::atomic<int> ends{0};
    prim::thread worker([&] {
      below.give(verb::run);
      below.give(verb::run);
    });
    {
      const strand one(below.executor());
      one.post([&, w = witness(ends)] { runs.set(runs.get() + 1); });
      one.post([&, w = witness(ends)] { runs.set(runs.get() + 1); });
    }
    worker.join();
    below.give(verb::run);
    model::check(ends.load(prim::relaxed) == 2 && runs.get() == 2);
  });
}

// The same with an executor that gives the strand up.
TEST(StrandModel, DestroyedWhileItIsDiscarded) {
  holds([] {
    mailbox below;
    prim::atomic<int> ends{0};
    prim::thread worker([&] { below.give(verb::discard); });
    {
      const strand one(below.executor());
      one.post([w = witness(ends)] {});
      one.post([w = witness(ends)] {});
    }
    worker.join();
    below.give(verb::discard);
    model::check(ends.load(prim::relaxed) == 2);
  });
}

}  // namespace
