// Fork and join: docs/protocols/fork_join.md.

#include <heddle/algorithm/parallel_invoke.hpp>

#include <cstdint>
#include <exception>

#include <heddle/base/unhandled.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::parallel_invoke;
using heddle::thread_pool;

// A child that is pushed while the other worker sleeps, falls asleep or searches, and a parent that
// does nothing for it: the child must be taken all the same. Fails without the fence of open(),
// when any_child() does not ask or has no fence, and when a push that was asked wakes nobody.
TEST(ForkModel, AChildIsTakenFromItsParentsLeaf) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post([&] { parallel_invoke([&] { m.second(); }, [&] { m.first(); }); });
      },
      one_preemption());
}

// Fails when the parent goes on before a stolen child has ended, or takes back what was stolen.
TEST(ForkModel, EachChildRunsOnceBeforeTheJoin) {
  holds(
      [] {
        prim::cell<int> calls[3];
        thread_pool pool(tiny(2));
        pool.post([&] {
          parallel_invoke([&] { calls[0].set(calls[0].get() + 1); },
                          [&] { calls[1].set(calls[1].get() + 1); },
                          [&] { calls[2].set(calls[2].get() + 1); });
          for (const auto& c : calls) model::check(c.get() == 1);
        });
      },
      one_preemption());
}

// A parent that blocks gives its slot away, and keeps its child where the spare finds it. Fails
// when a worker that begins to wait does not look at lanes.
TEST(ForkModel, AChildIsTakenFromAParentThatBlocks) {
  holds(
      [] {
        thread_pool pool(tiny(1, 1));
        pool.post([] {
          heddle::completion child_ran;
          parallel_invoke([&] { child_ran.complete(); },
                          [&] { wait_for_completion(child_ran, heddle::wait_kind::event); });
        });
      },
      one_preemption());
}

// A child that was taken fails as its parent's own function does.
void fail_on_two_threads(auto... between) {
  heddle::set_unhandled_handler([](std::exception_ptr) noexcept {});
  const std::uint64_t before = heddle::unhandled_count();
  bool thrown = false;
  {
    meeting m;
    thread_pool pool(tiny(2));
    pool.post([&] {
      try {
        parallel_invoke(
            [&] {
              m.second();
              throw 1;
            },
            between...,
            [&] {
              m.first();
              throw 2;
            });
      } catch (int) {
        thrown = true;
      }
    });
  }
  model::check(thrown, "one comes out");
  model::check(heddle::unhandled_count() == before + 1, "the other one is told of");
}

// Fails when an exception is lost, and when a child's failure is not read.
TEST(ForkModel, TwoFunctionsFail) {
  holds([] { fail_on_two_threads(); }, one_preemption());
}

// Fails when both are the first.
TEST(ForkModel, TwoOfThreeFunctionsFail) {
  holds([] { fail_on_two_threads([] {}); }, one_preemption());
}

}  // namespace
