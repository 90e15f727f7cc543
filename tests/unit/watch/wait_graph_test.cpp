#include <heddle/watch/wait_graph.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/exec/joining_thread.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/names.hpp>
#include <heddle/sync/condition_variable.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/mutex.hpp>

#include "support/threads.hpp"
#include "watch/wait_scan.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::wait_kind;
using heddle::waiting_thread;
using heddle::detail::knot;
using heddle::detail::seen_use;
using heddle::detail::seen_wait;
using heddle::detail::wait_scan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

// Things to wait for: only their addresses matter.
struct things {
  char of[16] = {};
  const void* operator[](std::size_t i) const { return &of[i]; }
};

seen_wait waits(std::uint32_t thread, wait_kind kind, const void* object) {
  seen_wait w;
  w.thread = thread;
  w.serial = 1;
  w.kind = kind;
  w.object = object;
  return w;
}
seen_wait for_lock(std::uint32_t thread, const void* object, std::uint32_t owner) {
  seen_wait w = waits(thread, wait_kind::mutex, object);
  w.has_owner = true;
  w.owner = owner;
  return w;
}
seen_wait for_result(std::uint32_t thread, const void* event) {
  return waits(thread, wait_kind::future, event);
}
seen_wait for_one_of(std::uint32_t thread, std::vector<const void*> events) {
  seen_wait w = waits(thread, wait_kind::several, nullptr);
  w.is_choice = true;
  for (const void* e : events) w.alternatives[w.alternative_count++] = e;
  return w;
}
seen_wait in_task(seen_wait w, const void* fulfils) {
  w.tasks[w.task_count++] = {"work", fulfils};
  return w;
}
seen_wait in_pool(seen_wait w, const void* end) {
  w.executor = end;
  return w;
}

const heddle::lock_probe probes[2];
seen_wait for_units(std::uint32_t thread, const void* object, int probe, std::uint64_t units) {
  seen_wait w = waits(thread, wait_kind::semaphore, object);
  w.rescuers = &probes[probe];
  w.units = units;
  return w;
}
seen_wait for_queue(std::uint32_t thread, wait_kind kind, const void* object, int probe) {
  seen_wait w = waits(thread, kind, object);
  w.rescuers = &probes[probe];
  return w;
}
seen_use took(std::uint32_t thread, int probe, std::int64_t units = 1) {
  return {&probes[probe], thread, units, true, false};
}
seen_use gave(std::uint32_t thread, int probe, std::int64_t units = 1) {
  return {&probes[probe], thread, -units, false, true};
}

struct verdict {
  std::vector<std::vector<std::uint32_t>> certain;
  std::vector<std::vector<std::uint32_t>> suspected;
};
verdict judge(std::vector<seen_wait> seen, const std::vector<seen_use>& uses = {}) {
  const wait_scan scan(std::move(seen), uses);
  verdict v;
  for (const knot& k : scan.knots()) {
    std::vector<std::uint32_t> threads;
    for (const std::size_t i : k.waits) threads.push_back(scan.waits()[i].thread);
    std::ranges::sort(threads);
    (k.is_certain ? v.certain : v.suspected).push_back(threads);
  }
  return v;
}

TEST(wait_scan, finds_a_circle_of_locks_and_nobody_else) {
  const things t;
  const verdict v = judge({for_lock(1, t[0], 2), for_lock(2, t[1], 3), for_lock(3, t[2], 1),
                           for_lock(4, t[0], 2), for_lock(5, t[3], 6)});
  EXPECT_THAT(v.certain, ElementsAre(ElementsAre(1, 2, 3)));
  EXPECT_THAT(v.suspected, IsEmpty());
}

TEST(wait_scan, tells_who_is_stuck_behind_a_circle) {
  const things t;
  const wait_scan scan({for_lock(1, t[0], 2), for_lock(2, t[1], 1), for_lock(3, t[0], 2),
                        for_lock(4, t[2], 3), for_lock(5, t[3], 6)},
                       {});
  ASSERT_THAT(scan.knots(), SizeIs(1));
  EXPECT_THAT(scan.behind(scan.knots()[0]), UnorderedElementsAre(2, 3));
}

TEST(wait_scan, a_thread_may_wait_for_itself) {
  const things t;
  EXPECT_THAT(judge({for_lock(1, t[0], 1)}).certain, ElementsAre(ElementsAre(1)));
  EXPECT_THAT(judge({in_task(for_result(1, t[0]), t[0])}).certain, ElementsAre(ElementsAre(1)));
}

TEST(wait_scan, a_wait_that_ends_by_itself_or_is_over_breaks_the_circle) {
  const things t;
  seen_wait limited = for_lock(1, t[0], 2);
  limited.ends_by_itself = true;
  EXPECT_THAT(judge({limited, for_lock(2, t[1], 1)}).certain, IsEmpty());
  seen_wait over = for_lock(1, t[0], 2);
  over.over = true;
  EXPECT_THAT(judge({over, for_lock(2, t[1], 1)}).certain, IsEmpty());
  seen_wait call = for_lock(1, t[0], 2);
  call.kind = wait_kind::external;
  EXPECT_THAT(judge({call, for_lock(2, t[1], 1)}).certain, IsEmpty());
}

TEST(wait_scan, follows_results_to_those_who_make_them) {
  const things t;
  const verdict v =
      judge({in_task(for_result(1, t[0]), t[5]), in_task(for_lock(2, t[1], 1), t[0])});
  EXPECT_THAT(v.certain, ElementsAre(ElementsAre(1, 2)));
  // Nobody who waits makes this one.
  EXPECT_THAT(judge({in_task(for_result(1, t[0]), t[5]), for_lock(2, t[1], 1)}).certain, IsEmpty());
}

TEST(wait_scan, a_bulk_ends_only_when_all_who_work_on_it_have_ended) {
  const things t;
  seen_wait slow = in_task(waits(3, wait_kind::event, nullptr), t[0]);
  const verdict v = judge({for_result(1, t[0]), in_task(for_lock(2, t[1], 1), t[0]), slow});
  EXPECT_THAT(v.certain, ElementsAre(ElementsAre(1, 2)));
}

TEST(wait_scan, the_end_of_a_pool_waits_for_its_tasks_but_not_for_those_who_wait_for_it) {
  const things t;
  const auto for_end = [&](std::uint32_t thread) { return waits(thread, wait_kind::event, t[0]); };
  const verdict v = judge({for_end(1), in_pool(in_task(for_lock(2, t[1], 1), nullptr), t[0])});
  EXPECT_THAT(v.certain, ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(judge({for_end(1), in_pool(in_task(for_end(2), nullptr), t[0])}).certain, IsEmpty());
  // Between tasks nobody waits for the worker.
  EXPECT_THAT(judge({for_end(1), in_pool(for_lock(2, t[1], 1), t[0])}).certain, IsEmpty());
}

TEST(wait_scan, of_several_results_all_must_be_out_of_reach) {
  const things t;
  const seen_wait second = in_task(for_lock(2, t[5], 1), t[0]);
  const seen_wait third = in_task(for_lock(3, t[5], 1), t[1]);
  EXPECT_THAT(judge({for_one_of(1, {t[0], t[1]}), second, third}).certain,
              ElementsAre(ElementsAre(1, 2, 3)));
  EXPECT_THAT(judge({for_one_of(1, {t[0], t[1]}), second}).certain, IsEmpty());
  EXPECT_THAT(
      judge({for_one_of(1, {t[0], t[1]}), second, in_task(for_lock(3, t[5], 9), t[1])}).certain,
      IsEmpty());
  EXPECT_THAT(judge({for_one_of(1, {}), second}).certain, IsEmpty());
}

TEST(wait_scan, suspects_those_who_hold_all_units_of_a_semaphore) {
  const things t;
  // Two locks made of semaphores, in both orders.
  const std::vector<seen_wait> crossed{for_units(1, t[0], 0, 1), for_units(2, t[1], 1, 1)};
  const verdict v = judge(crossed, {took(2, 0), took(1, 1)});
  EXPECT_THAT(v.certain, IsEmpty());
  EXPECT_THAT(v.suspected, ElementsAre(ElementsAre(1, 2)));
  // Somebody unknown has a unit.
  const std::vector<seen_wait> of_two{for_units(1, t[0], 0, 2), for_units(2, t[1], 1, 1)};
  EXPECT_THAT(judge(of_two, {took(2, 0), took(1, 1)}).suspected, IsEmpty());
  EXPECT_THAT(judge(of_two, {took(2, 0), took(3, 0), took(1, 1)}).suspected, IsEmpty());
}

TEST(wait_scan, a_semaphore_that_signals_is_waited_for_until_those_who_gave_are_stuck) {
  const things t;
  const std::vector<seen_wait> seen{for_units(1, t[0], 0, 0), for_lock(2, t[1], 1)};
  EXPECT_THAT(judge(seen, {took(1, 0), gave(2, 0)}).suspected, ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(judge(seen, {took(1, 0), gave(2, 0), gave(3, 0)}).suspected, IsEmpty());
  EXPECT_THAT(judge(seen, {took(1, 0)}).suspected, IsEmpty());
}

TEST(wait_scan, suspects_those_who_used_the_other_end_of_a_queue) {
  const things t;
  const std::vector<seen_wait> seen{for_queue(1, wait_kind::full_queue, t[0], 0),
                                    for_lock(2, t[1], 1)};
  EXPECT_THAT(judge(seen, {took(2, 0)}).suspected, ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(judge(seen, {took(2, 0), took(3, 0)}).suspected, IsEmpty());  // 3 runs
  EXPECT_THAT(judge(seen, {}).suspected, IsEmpty());
  EXPECT_THAT(judge({for_queue(1, wait_kind::empty_queue, t[0], 0)}, {took(1, 0)}).suspected,
              IsEmpty());
}

TEST(wait_scan, certain_circles_are_told_without_those_that_are_not) {
  const things t;
  const verdict v = judge({for_lock(1, t[0], 2), for_lock(2, t[1], 1),
                           for_queue(3, wait_kind::full_queue, t[2], 0), for_lock(4, t[3], 3)},
                          {took(4, 0)});
  EXPECT_THAT(v.certain, ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(v.suspected, ElementsAre(ElementsAre(3, 4)));
}

TEST(wait_scan, a_signature_is_the_same_for_the_same_waits_only) {
  const things t;
  const auto sign = [](const wait_scan& s) { return s.sign(s.knots().at(0)); };
  const wait_scan one({for_lock(1, t[0], 2), for_lock(2, t[1], 1)}, {});
  const wait_scan other({for_lock(2, t[1], 1), for_lock(5, t[1], 1), for_lock(1, t[0], 2)}, {});
  EXPECT_EQ(sign(one), sign(other));
  seen_wait again = for_lock(2, t[1], 1);
  again.serial = 2;
  EXPECT_NE(sign(one), sign(wait_scan({for_lock(1, t[0], 2), again}, {})));
}

// Real waits.

heddle::thread_pool_options workers(unsigned count, const char* name) {
  heddle::thread_pool_options options;
  options.workers = count;
  options.name = name;
  return options;
}

template <class Condition>
void wait_until(Condition holds) {
  while (!holds()) std::this_thread::yield();
}

const waiting_thread* find(const heddle::wait_graph& graph, const void* object) {
  for (const waiting_thread& t : graph.waits) {
    if (t.object == object) return &t;
  }
  return nullptr;
}
bool is_awaited(const void* object) { return find(heddle::wait_graph(), object) != nullptr; }

class wait_graph_test : public testing::Test {
 protected:
  wait_graph_test() : before_(heddle::track_lock_owners(true)) {}
  ~wait_graph_test() override { heddle::track_lock_owners(before_); }

 private:
  const heddle_test::watchdog dog_;
  const bool before_;
};

TEST_F(wait_graph_test, tells_who_waits_for_a_lock_and_who_holds_it) {
  heddle::mutex index("index");
  heddle::set_current_thread_name("holder");
  std::unique_lock held(index);
  heddle::joining_thread waiter("waiter",
                                heddle::named("store", [&] { const std::lock_guard l(index); }));
  wait_until([&] { return is_awaited(&index); });
  const heddle::wait_graph graph;
  const waiting_thread* const t = find(graph, &index);
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->name, "waiter");
  EXPECT_EQ(t->kind, wait_kind::mutex);
  EXPECT_EQ(t->object_name, "index");
  EXPECT_THAT(t->tasks, ElementsAre("store"));
  EXPECT_FALSE(t->ends_by_itself);
  ASSERT_THAT(t->awaits, SizeIs(1));
  EXPECT_EQ(t->awaits[0].name, "holder");
  EXPECT_THAT(t->to_text(),
              testing::MatchesRegex(
                  "thread \"waiter\" \\(task \"store\"\\) has waited [0-9.]+ m?s for mutex "
                  "\"index\", held by thread \"holder\""));
  EXPECT_THAT(graph.to_text(), HasSubstr("mutex \"index\""));
  EXPECT_THAT(graph.to_json(), HasSubstr("\"object_name\":\"index\""));
  held.unlock();
  waiter.join();
  EXPECT_FALSE(is_awaited(&index));
}

TEST_F(wait_graph_test, tells_which_waits_end_by_themselves) {
  heddle::manual_reset_event gate("gate");
  heddle::joining_thread hasty("hasty", [&] { gate.wait_for(1h); });
  heddle::joining_thread obedient("obedient",
                                  [&](const heddle::prim::stop_token& s) { gate.wait(s); });
  const auto count = [&] {
    int n = 0;
    for (const waiting_thread& t : heddle::wait_graph().waits) {
      if (t.object != &gate) continue;
      EXPECT_TRUE(t.ends_by_itself);
      EXPECT_THAT(t.awaits, IsEmpty());
      ++n;
    }
    return n;
  };
  wait_until([&] { return count() == 2; });
  gate.set();
}

TEST_F(wait_graph_test, tells_the_tasks_and_the_pool_of_a_worker) {
  heddle::thread_pool pool(workers(1, "loaders"));
  heddle::manual_reset_event gate("gate");
  auto outer = pool.submit(heddle::named(
      "outer", [&] { pool.submit(heddle::named("inner", [&] { gate.wait(); })).get(); }));
  wait_until([&] { return is_awaited(&gate); });
  const heddle::wait_graph graph;
  const waiting_thread* const t = find(graph, &gate);
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->pool, "loaders");
  EXPECT_THAT(t->tasks, ElementsAre("inner", "outer"));
  gate.set();
  outer.get();
}

TEST_F(wait_graph_test, the_innermost_wait_counts) {
  heddle::mutex m("inner");
  std::unique_lock held(m);
  heddle::joining_thread waiter("waiter", [&] {
    const heddle::blocking_scope call("outer");
    const std::lock_guard lock(m);
  });
  wait_until([&] { return is_awaited(&m); });
  held.unlock();
}

// Notified while the lock is held, it sleeps on in the queue of the lock.
TEST_F(wait_graph_test, who_was_notified_waits_for_the_lock) {
  heddle::mutex m("m");
  heddle::condition_variable changed;
  bool is_ready = false;
  heddle::joining_thread waiter("waiter", [&] {
    std::unique_lock lock(m);
    changed.wait(lock, [&] { return is_ready; });
  });
  wait_until([&] { return is_awaited(&changed); });
  {
    const std::lock_guard lock(m);
    is_ready = true;
    changed.notify_one();
    const heddle::wait_graph graph;
    const waiting_thread* const t = find(graph, &changed);
    ASSERT_NE(t, nullptr);
    ASSERT_THAT(t->awaits, SizeIs(1));
    EXPECT_EQ(t->awaits[0].number, heddle::prim::thread_number());
  }
}

TEST_F(wait_graph_test, threads_that_have_ended_are_gone) {
  heddle::manual_reset_event gate;
  for (int i = 0; i < 100; ++i) {
    std::thread([&] { gate.wait_for(0s); }).join();
    std::thread([&] { gate.wait_for(1us); }).join();
  }
  EXPECT_EQ(find(heddle::wait_graph(), &gate), nullptr);
}

}  // namespace
