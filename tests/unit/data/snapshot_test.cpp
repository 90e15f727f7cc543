#include <heddle/data/snapshot.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/event.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::snapshot;

// Counts the living, and says on which thread one died.
struct value {
  explicit value(int number, std::atomic<int>* alive = nullptr) : n(number), living(alive) {
    if (living != nullptr) ++*living;
  }
  value(const value& other) : value(other.n, other.living) {}
  ~value() {
    if (living != nullptr) --*living;
    died_on = std::this_thread::get_id();
  }
  int n;
  std::atomic<int>* living;
  static inline std::atomic<std::thread::id> died_on{};
};

static_assert(!std::is_copy_constructible_v<snapshot<int>::guard>);
static_assert(std::is_nothrow_move_constructible_v<snapshot<int>::guard>);
static_assert(std::is_copy_constructible_v<snapshot<int>::kept>);

TEST(snapshot, readers_see_the_value_of_one_moment) {
  snapshot<std::string> s("one");
  EXPECT_EQ(s.version(), 1U);
  const auto before = s.read();
  EXPECT_EQ(s.update([](const std::string& old) { return old + " two"; }), 2U);
  EXPECT_EQ(*before, "one");
  EXPECT_EQ(before.version(), 1U);
  const auto after = s.read();
  EXPECT_EQ(*after, "one two");
  EXPECT_EQ(after.version(), 2U);
  EXPECT_EQ(after->size(), 7U);
  EXPECT_EQ(s.store("three"), 3U);
  EXPECT_EQ(s.read([](const std::string& now) { return now; }), "three");
  EXPECT_EQ(s.read(&std::string::size), 5U);
}

TEST(snapshot, begins_with_a_default_value) { EXPECT_EQ(*snapshot<int>().read(), 0); }

TEST(snapshot, an_old_value_dies_with_its_last_reader_on_that_ones_thread) {
  std::atomic<int> alive = 0;
  snapshot<value> s(value(1, &alive));
  EXPECT_EQ(alive, 1);
  s.store(value(2, &alive));  // nobody reads: dies here
  EXPECT_EQ(alive, 1);

  std::thread::id reader;
  heddle::manual_reset_event reads;
  heddle::manual_reset_event may_end;
  std::thread thread([&] {
    reader = std::this_thread::get_id();
    const auto g = s.read();
    reads.set();
    may_end.wait();
    EXPECT_EQ(g->n, 2);
  });
  reads.wait();
  s.store(value(3, &alive));
  EXPECT_EQ(alive, 2);
  s.store(value(4, &alive));  // the one between dies at once
  EXPECT_EQ(alive, 2);
  may_end.set();
  thread.join();
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(value::died_on.load(), reader);
}

TEST(snapshot, a_kept_value_outlives_guard_and_snapshot) {
  std::atomic<int> alive = 0;
  snapshot<value>::kept last;
  EXPECT_FALSE(last);
  {
    snapshot<value> s(value(1, &alive));
    const auto first = s.keep();
    auto other = first;
    s.store(value(2, &alive));
    EXPECT_EQ(alive, 2);
    EXPECT_EQ(first->n, 1);
    EXPECT_EQ(other.version(), 1U);
    other = s.read().keep();
    EXPECT_EQ(other->n, 2);
    last = std::move(other);
    EXPECT_FALSE(other);
  }
  EXPECT_EQ(alive, 1);
  EXPECT_EQ((*last).n, 2);
  last = {};
  EXPECT_EQ(alive, 0);
}

TEST(snapshot, a_guard_outlives_its_snapshot) {
  std::atomic<int> alive = 0;
  std::optional<snapshot<value>> s(std::in_place, value(1, &alive));
  {
    const auto g = s->read();
    s.reset();
    EXPECT_EQ(g->n, 1);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(snapshot, a_guard_may_be_moved_and_end_on_another_thread) {
  std::atomic<int> alive = 0;
  snapshot<value> s(value(1, &alive));
  auto g = s.read();
  auto h = std::move(g);
  EXPECT_FALSE(g);
  s.store(value(2, &alive));
  std::thread([h = std::move(h)] { EXPECT_EQ(h->n, 1); }).join();
  EXPECT_EQ(alive, 1);

  std::optional<snapshot<value>::guard> left;
  std::thread([&] { left.emplace(s.read()); }).join();  // whose thread has ended
  s.store(value(3, &alive));
  std::thread([&] { EXPECT_EQ(s.read()->n, 3); }).join();  // may be given the same place
  EXPECT_EQ((*left)->n, 2);
  EXPECT_EQ(alive, 2);
  left.reset();
  EXPECT_EQ(alive, 1);

  auto a = s.read();
  s.store(value(4, &alive));
  a = s.read();  // lets the one before go
  EXPECT_EQ(a->n, 4);
  EXPECT_EQ(alive, 1);
}

TEST(snapshot, a_thread_may_have_any_number_of_guards) {
  std::atomic<int> alive = 0;
  snapshot<value> s(value(0, &alive));
  std::vector<snapshot<value>::guard> guards;
  for (int i = 0; i < 40; ++i) {
    guards.push_back(s.read());
    guards.push_back(s.read());
    s.store(value(i + 1, &alive));
  }
  EXPECT_EQ(alive, 41);
  for (int i = 0; i < 80; ++i) EXPECT_EQ(guards[static_cast<std::size_t>(i)]->n, i / 2);
  for (std::size_t i = 0; i < 80; i += 2) {
    EXPECT_EQ(alive, 41 - static_cast<int>(i / 2));
    auto one = std::move(guards[i]);
    auto other = std::move(guards[i + 1]);
  }
  EXPECT_EQ(alive, 1);
}

TEST(snapshot, an_update_that_throws_changes_nothing) {
  std::atomic<int> alive = 0;
  snapshot<value> s(value(1, &alive));
  EXPECT_THROW(s.update([](const value&) -> value { throw std::runtime_error("no"); }),
               std::runtime_error);
  EXPECT_EQ(s.read()->n, 1);
  EXPECT_EQ(s.version(), 1U);
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(s.store(value(2, &alive)), 2U);
}

TEST(snapshot, what_the_validator_refuses_is_refused_whole) {
  std::atomic<int> alive = 0;
  const auto positive = [](const value& v) { return v.n > 0; };
  EXPECT_THROW(snapshot<value>(value(-1, &alive), positive), std::invalid_argument);
  EXPECT_EQ(alive, 0);

  snapshot<value> s(value(1, &alive), positive);
  int heard = 0;
  const auto listening = s.subscribe([&](const auto&) { ++heard; });
  EXPECT_THROW(s.store(value(-2, &alive)), std::invalid_argument);
  EXPECT_THROW(s.update([](value v) {
    v.n = -v.n;
    return v;
  }),
               std::invalid_argument);
  EXPECT_FALSE(s.try_update([&](const value&) { return value(-3, &alive); }));
  EXPECT_EQ(s.read()->n, 1);
  EXPECT_EQ(s.version(), 1U);
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(heard, 0);
  EXPECT_EQ(s.try_update([&](const value&) { return value(3, &alive); }), 2U);
  EXPECT_EQ(heard, 1);
}

TEST(snapshot, a_validator_may_say_what_is_wrong) {
  snapshot<int> s(1, [](const int& n) {
    if (n == 7) throw std::invalid_argument("7 is taken");
    if (n == 8) throw std::logic_error("the validator's own trouble");
  });
  try {
    s.store(7);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(e.what(), "7 is taken");
  }
  EXPECT_FALSE(s.try_update([](int) { return 7; }));
  EXPECT_THROW(s.try_update([](int) { return 8; }), std::logic_error);
  EXPECT_EQ(*s.read(), 1);
}

TEST(snapshot, null_callables_are_refused) {
  snapshot<int> s(1);
  int (*none)(const int&) = nullptr;
  void (*nobody)(const snapshot<int>::kept&) = nullptr;
  bool (*judge)(const int&) = nullptr;
  EXPECT_THROW(s.update(none), std::invalid_argument);
  EXPECT_THROW(s.try_update(none), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(s.subscribe(nobody)), std::invalid_argument);
  EXPECT_THROW(snapshot<int>(1, judge), std::invalid_argument);
  EXPECT_EQ(s.version(), 1U);
}

TEST(snapshot, an_update_inside_of_an_update_is_told_so) {
  snapshot<int> s(1);
  EXPECT_THROW(s.update([&](int n) {
    s.store(5);
    return n;
  }),
               heddle::recursive_update);
  EXPECT_EQ(*s.read(), 1);
  snapshot<int> other(1);
  s.update([&](int n) {
    EXPECT_EQ(*s.read(), 1);  // reading is no problem
    other.store(2);           // nor is another one
    return n + 1;
  });
  EXPECT_EQ(*s.read(), 2);
  EXPECT_EQ(*other.read(), 2);
}

TEST(snapshot, an_update_inside_of_a_read_does_not_wait_for_it) {
  snapshot<int> s(1);
  EXPECT_EQ(s.read([&](int n) {
    s.store(2);
    s.update([](int m) { return m + 1; });
    return n * 10 + *s.read();
  }),
            13);
}

TEST(snapshot, a_value_that_dies_may_use_its_snapshot) {
  struct last_words {
    snapshot<int>* log;
    ~last_words() {
      if (log != nullptr) log->update([](int n) { return n + 1; });
    }
  };
  snapshot<int> log(0);
  {
    snapshot<std::shared_ptr<last_words>> s(std::make_shared<last_words>(&log));
    auto g = s.read();
    s.store(nullptr);
    EXPECT_EQ(*log.read(), 0);
  }
  EXPECT_EQ(*log.read(), 1);
}

TEST(snapshot, updates_of_many_threads_all_count) {
  snapshot<int> s(0);
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 100; ++i) s.update([](int n) { return n + 1; });
  });
  EXPECT_EQ(*s.read(), 400);
  EXPECT_EQ(s.version(), 401U);
}

TEST(snapshot, a_guard_is_held_while_its_worker_waits) {
  const heddle_test::watchdog dog;
  snapshot<int> s(1);
  heddle::thread_pool pool(1);
  heddle::manual_reset_event go_on;
  auto task = pool.submit([&] {
    const auto g = s.read();
    go_on.wait();  // another thread works meanwhile
    return *g;
  });
  pool.submit([&] { s.store(2); }).get();
  go_on.set();
  EXPECT_EQ(task.get(), 1);
  EXPECT_EQ(*s.read(), 2);
}

TEST(snapshot, a_child_process_reads_and_updates) {
  snapshot<int> s(1);
  const auto g = s.read();
  const pid_t child = fork();
  if (child == 0) {
    s.store(2);
    const bool right = *g == 1 && *s.read() == 2;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(*s.read(), 1);
}

TEST(snapshot_subscribe, hears_each_version_in_order_behind_its_publication) {
  snapshot<int> s(10);
  std::vector<int> heard;
  auto listening = s.subscribe([&](const snapshot<int>::kept& now) {
    EXPECT_EQ(s.version(), now.version());
    heard.push_back(*now);
  });
  EXPECT_TRUE(listening);
  s.store(11);
  s.store(12);
  EXPECT_EQ(heard, (std::vector{11, 12}));
  auto moved = std::move(listening);
  EXPECT_FALSE(listening);
  s.store(13);
  moved.reset();
  s.store(14);
  EXPECT_EQ(heard, (std::vector{11, 12, 13}));
}

TEST(snapshot_subscribe, an_update_by_a_listener_comes_next) {
  snapshot<int> s(0);
  std::vector<std::uint64_t> first;
  std::vector<std::uint64_t> second;
  const auto a = s.subscribe([&](const auto& now) {
    first.push_back(now.version());
    if (*now < 3) s.store(*now + 1);
  });
  const auto b = s.subscribe([&](const auto& now) { second.push_back(now.version()); });
  s.store(1);
  EXPECT_EQ(first, (std::vector<std::uint64_t>{2, 3, 4}));
  EXPECT_EQ(second, (std::vector<std::uint64_t>{2, 3, 4}));
}

TEST(snapshot_subscribe, exceptions_go_to_the_unhandled_handler) {
  heddle_test::unhandled_log log;
  snapshot<int> s(0);
  int heard = 0;
  const auto a = s.subscribe([](const auto&) { throw std::runtime_error("deaf"); });
  const auto b = s.subscribe([&](const auto&) { ++heard; });
  EXPECT_EQ(s.store(1), 2U);
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"deaf"}));
}

TEST(snapshot_subscribe, ends_and_begins_inside_of_a_call) {
  snapshot<int> s(0);
  const auto alive = std::make_shared<int>(0);
  heddle::subscription mine;
  heddle::subscription later;
  std::vector<int> heard;
  mine = s.subscribe([&, alive](const auto& now) {
    heard.push_back(*now);
    later = s.subscribe([&](const auto& n) { heard.push_back(100 + *n); });
    mine.reset();
    EXPECT_EQ(alive.use_count(), 2);  // it is still running
  });
  s.store(1);
  EXPECT_EQ(alive.use_count(), 1);
  s.store(2);
  EXPECT_EQ(heard, (std::vector{1, 102}));
}

TEST(snapshot_subscribe, the_end_waits_for_a_call_on_another_thread) {
  const heddle_test::watchdog dog;
  snapshot<int> s(0);
  heddle::manual_reset_event called;
  heddle::manual_reset_event may_return;
  std::atomic<bool> returned = false;
  std::atomic<bool> ended = false;
  auto listening = s.subscribe([&](const auto&) {
    called.set();
    may_return.wait();
    returned = true;
  });
  std::thread updater([&] { s.store(1); });
  called.wait();
  std::thread ender([&] {
    listening.reset();
    EXPECT_TRUE(returned);
    ended = true;
  });
  s.store(2);  // leaves it to the one that calls, and does not wait
  EXPECT_FALSE(ended);
  may_return.set();
  updater.join();
  ender.join();
}

TEST(snapshot_subscribe, may_outlive_its_snapshot) {
  const auto alive = std::make_shared<int>(0);
  std::optional<snapshot<int>> s(std::in_place, 0);
  auto listening = s->subscribe([alive](const auto&) {});
  const auto other = s->subscribe([alive](const auto&) {});
  EXPECT_EQ(alive.use_count(), 3);
  s->store(1);
  s.reset();
  listening.reset();
  EXPECT_EQ(alive.use_count(), 2);
}

}  // namespace
