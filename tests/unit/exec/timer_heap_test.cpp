#include "exec/timer_heap.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "exec/tick_rule.hpp"

namespace {

using heddle::missed_ticks;
using heddle::detail::step_after;
using heddle::detail::timer_heap;
using heddle::detail::timer_link;
using heddle::prim::time_point;
using namespace std::chrono_literals;

time_point at(long n) { return time_point(std::chrono::nanoseconds(n)); }

timer_link* pop(timer_heap& heap) {
  timer_link& first = heap.first();
  heap.remove(first);
  return &first;
}

TEST(timer_heap_test, the_earliest_comes_first_and_equals_in_their_order) {
  timer_heap heap;
  std::deque<timer_link> links(6);
  heap.reserve(links.size());
  const long times[] = {3, 1, 2, 1, 3, 1};
  for (std::size_t i = 0; i != 6; ++i) heap.push(links[i], at(times[i]));
  EXPECT_EQ(heap.size(), 6U);
  EXPECT_EQ(heap.earliest(), at(1));
  for (const std::size_t expected : {1U, 3U, 5U, 2U, 0U, 4U})
    EXPECT_EQ(pop(heap), &links[expected]);
  EXPECT_TRUE(heap.empty());
  EXPECT_FALSE(timer_heap::holds(links[0]));
}

// Against a set, which cannot be wrong: insertions, removals from anywhere, and the first.
TEST(timer_heap_test, agrees_with_a_sorted_set) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    timer_heap heap;
    std::deque<timer_link> links(300);
    std::vector<timer_link*> out;
    for (timer_link& l : links) out.push_back(&l);
    std::set<std::tuple<time_point, unsigned, timer_link*>> expected;
    unsigned order = 0;
    heap.reserve(links.size());
    for (int step = 0; step < 1500; ++step) {
      const auto what = random() % 4;
      if (what < 2 && !out.empty()) {
        std::swap(out[random() % out.size()], out.back());
        timer_link* const l = out.back();
        out.pop_back();
        const time_point when = at(static_cast<long>(random() % 40));
        ++order;
        heap.push(*l, when);
        expected.insert({when, order, l});
      } else if (what == 2 && !expected.empty()) {
        timer_link* const l = pop(heap);
        ASSERT_EQ(l, std::get<2>(*expected.begin()));
        expected.erase(expected.begin());
        out.push_back(l);
      } else if (!expected.empty()) {
        auto any = expected.begin();
        std::advance(any, static_cast<long>(random() % expected.size()));
        timer_link* const l = std::get<2>(*any);
        ASSERT_TRUE(timer_heap::holds(*l));
        heap.remove(*l);
        ASSERT_FALSE(timer_heap::holds(*l));
        expected.erase(any);
        out.push_back(l);
      }
      ASSERT_EQ(heap.size(), expected.size());
      if (!expected.empty()) {
        ASSERT_EQ(heap.earliest(), std::get<0>(*expected.begin()));
      }
    }
    // Every third leaves in one step; the others come out in order.
    std::set<timer_link*> chosen;
    for (const auto& e : expected) {
      if (random() % 3 == 0) chosen.insert(std::get<2>(e));
    }
    std::set<timer_link*> taken;
    heap.remove_if(
        [&](const timer_link& l) { return chosen.contains(const_cast<timer_link*>(&l)); },
        [&](timer_link& l) { taken.insert(&l); });
    EXPECT_EQ(taken, chosen);
    for (const auto& e : expected) {
      if (!chosen.contains(std::get<2>(e))) {
        ASSERT_EQ(pop(heap), std::get<2>(e));
      }
    }
    EXPECT_TRUE(heap.empty());
  }
}

TEST(timer_heap_test, never_is_last) {
  timer_heap heap;
  timer_link forever;
  timer_link now;
  heap.reserve(2);
  heap.push(forever, heddle::prim::never);
  heap.push(now, at(5));
  EXPECT_EQ(pop(heap), &now);
  EXPECT_EQ(heap.earliest(), heddle::prim::never);
}

TEST(tick_rule, a_run_in_time_misses_nothing) {
  for (const auto rule : {missed_ticks::coalesce, missed_ticks::catch_up}) {
    const auto step = step_after(at(100), at(100), 10ns, rule);
    EXPECT_EQ(step.missed, 0U);
    EXPECT_EQ(step.next, at(110));
  }
}

TEST(tick_rule, one_late_run_makes_up_for_the_ticks_that_passed) {
  const struct {
    long now;
    unsigned missed;
    long next;
  } cases[] = {{109, 0, 110}, {110, 1, 120}, {119, 1, 120}, {120, 2, 130}, {1000, 90, 1010}};
  for (const auto& c : cases) {
    const auto step = step_after(at(100), at(c.now), 10ns, missed_ticks::coalesce);
    EXPECT_EQ(step.missed, c.missed) << c.now;
    EXPECT_EQ(step.next, at(c.next)) << c.now;
  }
}

TEST(tick_rule, catching_up_goes_tick_by_tick) {
  const auto step = step_after(at(100), at(1000), 10ns, missed_ticks::catch_up);
  EXPECT_EQ(step.missed, 0U);
  EXPECT_EQ(step.next, at(110));
}

TEST(tick_rule, beyond_the_clocks_end_is_never) {
  const auto huge = heddle::prim::clock::duration::max();
  for (const auto rule : {missed_ticks::coalesce, missed_ticks::catch_up}) {
    EXPECT_EQ(step_after(at(100), at(200), huge, rule).next, heddle::prim::never);
    EXPECT_EQ(step_after(at(100), heddle::prim::never - 1ns, 24h, rule).next,
              rule == missed_ticks::catch_up ? at(100) + 24h : heddle::prim::never);
  }
}

}  // namespace
