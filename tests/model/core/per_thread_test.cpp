#include <heddle/probe/per_thread.hpp>

#include <new>
#include <optional>
#include <system_error>

#include <heddle/lockfree/counter.hpp>
#include <heddle/probe/counters.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::per_thread;

// Threads register, count and end while one reads. Fails when a slot is published or the list of
// slots read relaxed, and when an ended thread's slot is passed on outside of the registry's lock.
TEST(CounterModel, WhatEndedThreadsCountedStays) {
  holds([] {
    heddle::counter c;
    prim::thread first([&] { model::check(c.add(2) == 2 && ++c == 3); });
    prim::thread second([&] { model::check(c.add(4) == 4); });
    const auto before = c.total();
    const auto after = c.total();
    model::check(before <= after && after <= 7, "a total never shrinks");
    first.join();
    model::check(c.total() >= 3, "a joined thread's counts are in the total");
    second.join();
    model::check(c.total() == 7, "the total is exact");
  });
}

// Fails when a thread is not told that it takes over, and when an ended thread's slot is passed on
// outside of the registry's lock.
TEST(CounterModel, ALaterThreadCountsFromZero) {
  holds([] {
    heddle::counter c;
    const auto count = [&] {
      model::check(c.mine() == 0);
      model::check(c.add(3) == 3, "what the thread has counted itself");
      model::check(c.mine() == 3);
    };
    prim::thread first(count);
    prim::thread second(count);
    first.join();
    prim::thread third(count);
    second.join();
    third.join();
    model::check(c.total() == 9);
  });
}

// Also where there is no memory for a thread's own count. Fails when a count is stored or read
// relaxed, be it the thread's own or the common one.
TEST(CounterModel, OfTwoTheLaterIsNeverAhead) {
  model::options o;
  o.allocation_failures = 1;
  holds(
      [] {
        std::optional<heddle::counter> begun;
        std::optional<heddle::counter> done;
        try {
          begun.emplace();
          done.emplace();
        } catch (const std::bad_alloc&) {
          return;
        }
        try {
          prim::thread worker([&] {
            for (int i = 0; i < 2; ++i) {  // the second time nobody registers
              begun->add();
              done->add();
            }
          });
          const auto ends = done->total();
          model::check(ends <= begun->total());
          worker.join();
          model::check(begun->total() == 2 && done->total() == 2, "no count is lost");
        } catch (const std::system_error&) {
        }
      },
      o);
}

// The last use of an instance, then its end on one thread and the thread's end on another; a new
// instance gets its id. Fails when the end of an instance is not told to the registry, when an
// ending thread does not compare serial numbers, or does not take the lock.
TEST(PerThreadModel, AnInstanceEndsBesideItsThreads) {
  holds([] {
    const per_thread<int> stays;  // and with it the registry's memory
    std::optional<per_thread<heddle::owned_counter>> values(std::in_place);
    prim::atomic<bool> used{false};
    prim::thread user([&] {
      values->local().add();
      used.store(true, prim::release);
    });
    while (!used.load(prim::acquire)) prim::yield();
    values.reset();
    per_thread<heddle::owned_counter> next;
    next.local().add(5);
    user.join();
    model::check(next.local().read() == 5);
  });
}

struct told {
  void left_behind() noexcept { turns.set(turns.get() + 1); }
  void taken_over() noexcept { turns.set(turns.get() + 1); }
  prim::cell<int> turns;
};

// A value goes from thread to thread. Fails when an ending thread passes it on before it has told
// it, and when it tells without the lock, beside the instance's end.
TEST(PerThreadModel, AValueIsToldWhoHasIt) {
  holds([] {
    std::optional<per_thread<told>> values(std::in_place);
    prim::atomic<int> used{0};
    const auto use = [&] {
      model::check(values->local().turns.get() % 2 == 0, "left as often as taken over");
      used.fetch_add(1, prim::release);
    };
    prim::thread first(use);
    prim::thread second(use);
    while (used.load(prim::acquire) != 2) prim::yield();
    values.reset();
    first.join();
    second.join();
  });
}

}  // namespace
