#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using namespace process_test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

// Calls a function when ready.
struct on_ready_call final : io_handler {
  std::function<void(std::uint32_t)> call;
  void on_ready(std::uint32_t events) noexcept override { call(events); }
};

// A timer that calls a function.
struct call_timer {
  call_timer(event_loop& loop, std::function<void()> f)
      : call(std::move(f)), t(loop, &fire, this) {}
  static void fire(void* self) noexcept { static_cast<call_timer*>(self)->call(); }
  std::function<void()> call;
  timer t;
};

TEST(event_loop, runs_jobs_in_the_order_posted) {
  event_loop loop;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) post(loop, [&order, i] { order.push_back(i); });
  post(loop, [&] { loop.stop(); });
  loop.run();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(event_loop, loses_no_job_from_several_threads_and_keeps_each_ones_order) {
  constexpr int threads = 4;
  constexpr int each = 5000;
  event_loop loop;
  int seen[threads] = {};
  int total = 0;
  bool in_order = true;
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        post(loop, [&, t, i] {
          in_order = in_order && seen[t]++ == i;
          if (++total == threads * each) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& p : posters) p.join();
  EXPECT_EQ(total, threads * each);
  EXPECT_TRUE(in_order);
}

TEST(event_loop, a_job_may_post_another) {
  event_loop loop;
  int depth = 0;
  std::function<void()> again = [&] {
    if (++depth == 1000) return loop.stop();
    post(loop, again);
  };
  post(loop, again);
  loop.run();
  EXPECT_EQ(depth, 1000);
}

TEST(event_loop, works_as_an_executor) {
  event_loop loop;
  static_assert(heddle::executor<event_loop>);
  EXPECT_EQ(loop.executor(), loop.executor());
  struct stopper : heddle::job {
    explicit stopper(event_loop& l)
        : job([](job* j, heddle::verb) noexcept { static_cast<stopper*>(j)->loop.stop(); }),
          loop(l) {}
    event_loop& loop;
  } j(loop);
  loop.executor().post(&j);
  loop.run();
}

TEST(event_loop, stop_runs_what_was_posted_before_and_keeps_what_comes_later) {
  event_loop loop;
  std::vector<int> ran;
  post(loop, [&] {
    post(loop, [&] { ran.push_back(1); });
    loop.stop();
    post(loop, [&] { ran.push_back(2); });
  });
  loop.run();
  EXPECT_EQ(ran, (std::vector{1}));
  loop.run();
  EXPECT_EQ(ran, (std::vector{1})) << "stop is sticky";
  loop.restart();
  post(loop, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(ran, (std::vector{1, 2}));
}

TEST(event_loop, stop_comes_from_another_thread) {
  event_loop loop;
  std::thread other([&] { loop.stop(); });
  loop.run();
  other.join();
}

TEST(event_loop, destructor_discards_what_did_not_run) {
  int discarded = 0;
  int ran = 0;
  {
    event_loop loop;
    post(loop, [&] { ++ran; }, &discarded);
    loop.stop();
    post(loop, [&] { ++ran; }, &discarded);
  }
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(discarded, 2);
}

TEST(event_loop, a_discarded_job_may_post_again) {
  struct chain : heddle::job {
    chain(event_loop& l, int& c) : job(&act), loop(l), count(c) {}
    static void act(job* j, heddle::verb v) noexcept {
      auto* const self = static_cast<chain*>(j);
      ASSERT_EQ(v, heddle::verb::discard);
      if (++self->count < 5) self->loop.post(self);
    }
    event_loop& loop;
    int& count;
  };
  int count = 0;
  auto loop = std::make_unique<event_loop>();
  chain c(*loop, count);
  loop->post(&c);
  loop.reset();
  EXPECT_EQ(count, 5);
}

TEST(event_loop, tells_readiness_until_unwatched) {
  event_loop loop;
  pipe_ends p;
  int calls = 0;
  on_ready_call reader;
  reader.call = [&](std::uint32_t events) {
    EXPECT_TRUE(events & EPOLLIN);
    if (++calls < 3) return;  // level-triggered: told again while the byte is there
    loop.unwatch(p.read.get());
    post(loop, [&] { loop.stop(); });
  };
  loop.watch(p.read.get(), EPOLLIN, reader);
  ASSERT_EQ(::write(p.write.get(), "x", 1), 1);
  loop.run();
  EXPECT_EQ(calls, 3);
}

TEST(event_loop, watching_again_replaces_handler_and_events) {
  event_loop loop;
  pipe_ends p;
  on_ready_call first;
  on_ready_call second;
  first.call = [&](std::uint32_t) { ADD_FAILURE() << "replaced handler called"; };
  second.call = [&](std::uint32_t events) {
    EXPECT_TRUE(events & EPOLLOUT);
    loop.stop();
  };
  loop.watch(p.write.get(), EPOLLIN, first);
  loop.watch(p.write.get(), EPOLLOUT, second);
  loop.run();
  loop.unwatch(p.write.get());
}

TEST(event_loop, drops_fetched_events_of_descriptors_unwatched_by_another_handler) {
  event_loop loop;
  pipe_ends pipes[2];
  auto handlers = std::make_unique<on_ready_call[]>(2);
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    handlers[static_cast<std::size_t>(i)].call = [&](std::uint32_t) {
      ++calls;
      for (auto& p : pipes) {
        loop.unwatch(p.read.get());
        p.read.reset();
      }
      loop.stop();
    };
    loop.watch(pipes[i].read.get(), EPOLLIN, handlers[static_cast<std::size_t>(i)]);
    ASSERT_EQ(::write(pipes[i].write.get(), "x", 1), 1);
  }
  loop.run();
  EXPECT_EQ(calls, 1);
}

TEST(event_loop, drops_fetched_events_of_a_reused_descriptor_number) {
  event_loop loop;
  pipe_ends pipes[2];
  on_ready_call handlers[2];
  on_ready_call newcomer;
  int stale = 0;
  newcomer.call = [&](std::uint32_t) { ++stale; };
  pipe_ends empty;
  for (int i = 0; i < 2; ++i) {
    handlers[i].call = [&, i](std::uint32_t) {
      const int other = pipes[1 - i].read.get();
      loop.unwatch(other);
      ASSERT_EQ(::dup3(empty.read.get(), other, O_CLOEXEC), other);
      loop.watch(other, EPOLLIN, newcomer);
      loop.unwatch(pipes[i].read.get());
      loop.stop();
    };
    loop.watch(pipes[i].read.get(), EPOLLIN, handlers[i]);
    ASSERT_EQ(::write(pipes[i].write.get(), "x", 1), 1);
  }
  loop.run();
  EXPECT_EQ(stale, 0);
}

TEST(event_loop, a_handler_may_destroy_itself) {
  struct once final : io_handler {
    once(event_loop& l, int f, bool& d) : loop(l), fd(f), destroyed(d) {}
    ~once() { destroyed = true; }
    void on_ready(std::uint32_t) noexcept override {
      loop.unwatch(fd);
      loop.stop();
      delete this;
    }
    event_loop& loop;
    int fd;
    bool& destroyed;
  };
  event_loop loop;
  pipe_ends p;
  bool destroyed = false;
  loop.watch(p.write.get(), EPOLLOUT, *new once(loop, p.write.get(), destroyed));
  loop.run();
  EXPECT_TRUE(destroyed);
}

TEST(event_loop, refuses_what_cannot_be_watched) {
  event_loop loop;
  on_ready_call handler;
  const auto code = [&](int fd) {
    try {
      loop.watch(fd, EPOLLIN, handler);
    } catch (const std::system_error& e) {
      return e.code().value();
    }
    return 0;
  };
  EXPECT_EQ(code(-1), EBADF);
  EXPECT_EQ(code(123456), EBADF);
  const unique_descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(code(file.get()), EPERM);
  loop.unwatch(file.get());
  loop.unwatch(999999);
}

TEST(timers, fire_in_order_of_time_then_of_arming) {
  event_loop loop;
  std::vector<int> fired;
  std::vector<std::unique_ptr<call_timer>> timers;
  const auto now = steady_clock::now();
  for (int i = 0; i < 50; ++i) {
    timers.push_back(std::make_unique<call_timer>(loop, [&fired, i] { fired.push_back(i); }));
  }
  // Odd ones share one time, even ones count backwards before it.
  for (int i = 0; i < 50; ++i) {
    timers[static_cast<std::size_t>(i)]->t.arm(i % 2 ? now + 2ms : now + 1ms - i * 1us);
  }
  call_timer last(loop, [&] { loop.stop(); });
  last.t.arm(now + 3ms);
  loop.run();
  std::vector<int> expected;
  for (int i = 48; i >= 0; i -= 2) expected.push_back(i);
  for (int i = 1; i < 50; i += 2) expected.push_back(i);
  EXPECT_EQ(fired, expected);
}

TEST(timers, never_fire_early) {
  event_loop loop;
  const auto when = steady_clock::now() + 5ms;
  steady_clock::time_point at{};
  call_timer t(loop, [&] {
    at = steady_clock::now();
    loop.stop();
  });
  t.t.arm(when);
  EXPECT_TRUE(t.t.armed());
  loop.run();
  EXPECT_GE(at, when);
  EXPECT_FALSE(t.t.armed());
}

TEST(timers, a_time_in_the_past_fires_and_max_never_does) {
  event_loop loop;
  call_timer never(loop, [] { ADD_FAILURE(); });
  never.t.arm(steady_clock::time_point::max());
  call_timer past(loop, [&] { loop.stop(); });
  past.t.arm(steady_clock::time_point::min());
  loop.run();
  EXPECT_TRUE(never.t.armed());
}

TEST(timers, can_be_disarmed_and_destroyed_inside_callbacks) {
  event_loop loop;
  const auto now = steady_clock::now();
  auto destroyed = std::make_unique<call_timer>(loop, [] { ADD_FAILURE(); });
  call_timer disarmed(loop, [] { ADD_FAILURE(); });
  auto self = std::unique_ptr<call_timer>();
  self = std::make_unique<call_timer>(loop, [&] {
    destroyed.reset();
    disarmed.t.disarm();
    auto dying = std::move(self);
    post(loop, [&] { loop.stop(); });
  });
  self->t.arm(now);
  destroyed->t.arm(now);
  disarmed.t.arm(now);
  loop.run();
  EXPECT_EQ(self, nullptr);
  EXPECT_FALSE(disarmed.t.armed());
}

TEST(timers, can_be_moved_earlier_and_later) {
  event_loop loop;
  std::vector<int> fired;
  call_timer a(loop, [&] { fired.push_back(1); });
  call_timer b(loop, [&] { fired.push_back(2); });
  call_timer end(loop, [&] { loop.stop(); });
  const auto now = steady_clock::now();
  a.t.arm(now + 1ms);
  b.t.arm(now + 1h);
  end.t.arm(now + 4ms);
  a.t.arm(now + 3ms);
  b.t.arm(now + 2ms);
  loop.run();
  EXPECT_EQ(fired, (std::vector{2, 1}));
}

TEST(timers, one_that_rearms_itself_does_not_starve_descriptors) {
  event_loop loop;
  pipe_ends p;
  int fired = 0;
  std::unique_ptr<call_timer> t;
  t = std::make_unique<call_timer>(loop, [&] {
    ++fired;
    t->t.arm(steady_clock::time_point{});
  });
  t->t.arm(steady_clock::time_point{});
  on_ready_call writer;
  writer.call = [&](std::uint32_t) {
    if (fired >= 3) loop.stop();
  };
  loop.watch(p.write.get(), EPOLLOUT, writer);
  loop.run();
  EXPECT_GE(fired, 3);
}

TEST(timers, many_random_arms_and_disarms_keep_the_order) {
  event_loop loop;
  struct stamped {
    std::unique_ptr<call_timer> t;
    steady_clock::time_point when;
  };
  std::vector<stamped> timers(500);
  std::vector<steady_clock::time_point> fired;
  std::uint32_t random = 12345;
  const auto next = [&] { return (random = random * 1664525u + 1013904223u) >> 8; };
  const auto now = steady_clock::now();
  for (auto& s : timers) {
    s.t = std::make_unique<call_timer>(loop, [&] { fired.push_back(s.when); });
  }
  for (int i = 0; i < 5000; ++i) {
    auto& s = timers[next() % timers.size()];
    if (next() % 4 == 0) {
      s.t->t.disarm();
    } else {
      s.when = now + std::chrono::microseconds(next() % 1000);
      s.t->t.arm(s.when);
    }
  }
  const auto armed = static_cast<std::size_t>(
      std::count_if(timers.begin(), timers.end(), [](auto& s) { return s.t->t.armed(); }));
  call_timer end(loop, [&] { loop.stop(); });
  end.t.arm(now + 2ms);
  loop.run();
  EXPECT_EQ(fired.size(), armed);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
}

TEST(timers, outlive_their_loop_disarmed) {
  auto loop = std::make_unique<event_loop>();
  call_timer t(*loop, [] { ADD_FAILURE(); });
  t.t.arm(steady_clock::now() + 1h);
  loop.reset();
  EXPECT_FALSE(t.t.armed());
}

TEST(event_loop, leaks_no_descriptor) {
  const int before = open_descriptors();
  for (int i = 0; i < 10; ++i) {
    event_loop loop;
    run(shell("exit 0"), &loop);
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
