// Loops on executors: docs/protocols/loops.md.

#include <heddle/algorithm/dealt_loop.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>

#include <array>

#include <heddle/base/job.hpp>
#include <heddle/lockfree/split_deque.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::executor_ref;
using heddle::job;
using heddle::parallel_for;
using heddle::verb;

// Keeps one job, for a thread that runs it.
class mailbox {
 public:
  executor_ref executor() noexcept {
    return {this, [](void* self, job* j) noexcept {
              static_cast<mailbox*>(self)->mail_.store(j, prim::release);
            }};
  }
  void give(verb v) noexcept {
    if (job* const j = mail_.exchange(nullptr, prim::acquire)) j->run(j, v);
  }

 private:
  prim::atomic<job*> mail_{nullptr};
};

// A job begins before, while, or after the loop ends. Fails when a job enters a loop that is
// closed, when the caller does not wait for one that is inside, when nobody tells it that the last
// one has left, and when leaving does not release or closing does not acquire.
TEST(LoopModel, AJobMeetsTheEndOfTheLoop) {
  holds([] {
    mailbox box;
    prim::thread other([&] { box.give(verb::run); });
    {
      std::array<prim::cell<int>, 3> calls;
      parallel_for(box.executor(), 0U, 3U, [&](unsigned i) { calls[i].set(calls[i].get() + 1); },
                   {.grain = 1});
      for (const auto& c : calls) model::check(c.get() == 1, "each element once");
    }
    other.join();
    box.give(verb::discard);
  });
}

// Each side has parts, which are put in order. Fails when they are appended as they come, and when
// a side goes on with its part behind what the other one has taken.
TEST(LoopModel, PartsKeepTheirOrder) {
  holds([] {
    mailbox box;
    prim::thread other([&] { box.give(verb::run); });
    const std::array<unsigned, 3> numbers{0x2, 0x3, 0x4};
    // Digits one behind the other: associative, and nothing else.
    const auto append = [](unsigned a, unsigned b) {
      unsigned shift = 4;
      while (b >> shift != 0) shift += 4;
      return (a << shift) | b;
    };
    const unsigned all =
        heddle::parallel_reduce(box.executor(), numbers, 0x1U, append, {.grain = 1});
    model::check(all == 0x1234, "in the order of the elements");
    other.join();
    box.give(verb::discard);
  });
}

// On a pool: what is taken is done, and seen, when the loop ends.
TEST(LoopModel, APieceIsTaken) {
  holds(
      [] {
        heddle::thread_pool pool(tiny(2));
        pool.post([] {
          std::array<prim::cell<int>, 2> calls;
          parallel_for(0U, 2U, [&](unsigned i) { calls[i].set(calls[i].get() + 1); }, {.grain = 1});
          for (const auto& c : calls) model::check(c.get() == 1, "each element once");
        });
      },
      one_preemption());
}

// The owner takes piece after piece off a stretch that somebody else comes to take. Fails when a
// piece of which the owner learns too late that the stretch is gone is run by both, or by nobody:
// when either of them goes by what it has seen without a decision.
TEST(LoopModel, AStretchIsTakenFromItsOwner) {
  model::options o;
  o.preemptions = 3;
  holds(
      [] {
        using deque = heddle::split_deque<heddle::detail::stretch_begin*>;
        std::array<prim::cell<int>, 4> calls;
        const auto run = [&](std::size_t i) { calls[i].set(calls[i].get() + 1); };
        heddle::detail::stretch_begin rest(1);
        heddle::detail::stretch_begin* found = nullptr;
        deque lane(2);
        lane.push(&rest);
        prim::thread thief([&] {
          heddle::detail::stretch_begin* taken = nullptr;
          if (lane.raise() != deque::theft::success || lane.steal(taken) != deque::theft::success)
            return;
          for (std::size_t i = taken->for_thief(); i != calls.size(); ++i) run(i);
        });
        bool gone = false;
        run(0);
        for (std::size_t i = 1; i + 1 < calls.size() && !gone; ++i) {
          rest.move_to(i + 1);
          if (!lane.keeps_newest()) {
            gone = !lane.pop(found);
            if (gone && !rest.is_behind(i)) break;
            if (!gone) lane.push(&rest);
          }
          run(i);
        }
        if (!gone && lane.pop(found)) run(calls.size() - 1);
        thief.join();
        for (const auto& c : calls) model::check(c.get() == 1, "each piece once");
      },
      o);
}

}  // namespace
