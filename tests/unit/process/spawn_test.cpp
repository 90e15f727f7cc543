#include <heddle/process/spawn.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <stop_token>
#include <thread>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/process/loop_thread.hpp>

#include "support.hpp"

namespace {

using namespace process_test;
using namespace std::chrono_literals;

completed finish(command what, spawn_options options = {}) {
  loop_thread thread;
  return spawn(thread.loop(), std::move(what), std::move(options)).get();
}

// The same of a command that is to reach its timeout, with longer ones where it was not up before.
template <class Make, class Up>
completed finish_at_timeout(Make what, std::chrono::milliseconds grace, Up was_up) {
  completed c;
  for (std::chrono::milliseconds time = 100ms; time < 1min; time *= 2) {
    c = finish(what(), {.collect = capture::output, .timeout = time, .grace = grace});
    if (was_up(c)) break;
  }
  return c;
}

bool wrote(const completed& c) { return !c.out.empty(); }

// Bytes that repeat late and look like no text.
std::string noise(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t random = 1;
  for (char& c : text) c = static_cast<char>((random = random * 1664525u + 1013904223u) >> 24);
  return text;
}

// A pipe the command's descendants keep open, by which the end of the last of them is seen.
struct witness {
  pipe_ends ends;
  command watched(command what) {
    what.standard_error = ends.write.get();
    return what;
  }
  // Blocks until nobody has the pipe open.
  void all_gone() {
    ends.write.reset();
    EXPECT_EQ(read_all(ends.read.get()), "");
  }
};

// Waits until the command has written its first byte to the pipe.
void wait_for_start(witness& w) {
  char byte;
  ASSERT_EQ(::read(w.ends.read.get(), &byte, 1), 1);
}

TEST(spawn, collects_both_streams_and_the_status) {
  const completed c = finish(shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(c.out, "out\n");
  EXPECT_EQ(c.err, "err\n");
  EXPECT_EQ(c.report.status, 3);
  EXPECT_FALSE(c.success());
  EXPECT_FALSE(c.timed_out);
  EXPECT_FALSE(c.overflowed);
}

TEST(spawn, merges_streams_in_the_order_written) {
  const completed c =
      finish(shell("echo 1; echo 2 >&2; echo 3; echo 4 >&2"), {.collect = capture::merged});
  EXPECT_EQ(c.out, "1\n2\n3\n4\n");
  EXPECT_EQ(c.err, "");
}

TEST(spawn, collects_one_stream_and_gives_the_other_away) {
  pipe_ends other;
  command what = shell("echo out; echo err >&2");
  what.standard_output = other.write.get();
  EXPECT_EQ(finish(what, {.collect = capture::error}).err, "err\n");
  what.standard_error = what.standard_output;
  what.standard_output = -1;
  EXPECT_EQ(finish(what, {.collect = capture::output}).out, "out\n");
  other.write.reset();
  EXPECT_EQ(read_all(other.read.get()), "out\nerr\n");
}

TEST(spawn, collects_nothing_on_request) {
  const completed c = finish(shell("exit 4"), {.collect = capture::none});
  EXPECT_EQ(c.report.status, 4);
}

TEST(spawn, feeds_and_collects_ten_megabytes) {
  const std::string text = noise(10u << 20);
  const completed c = finish({.argv = {"cat"}}, {.input = text});
  EXPECT_TRUE(c.success());
  EXPECT_TRUE(c.out == text);
}

TEST(spawn, input_may_stay_unread_or_be_empty) {
  EXPECT_TRUE(finish({.argv = {"true"}}, {.input = noise(1u << 20)}).success());
  EXPECT_EQ(finish({.argv = {"cat"}}, {.input = ""}).out, "");
  EXPECT_EQ(finish(shell("cat /dev/stdin"), {.input = "reopened"}).out, "reopened");
}

TEST(spawn, keeps_the_limit_and_drops_the_rest) {
  const completed c =
      finish(shell("head -c 1000000 /dev/zero; echo err >&2; exit 5"), {.output_limit = 1000});
  EXPECT_EQ(c.out, std::string(1000, '\0'));
  EXPECT_EQ(c.err, "err\n");
  EXPECT_TRUE(c.overflowed);
  EXPECT_EQ(c.report.status, 5) << "it ran to its end";
  EXPECT_FALSE(finish(shell("printf 12345"), {.output_limit = 5}).overflowed);
}

TEST(spawn, kills_what_exceeds_the_limit_on_request) {
  const completed c = finish(shell("while :; do echo endless; done"),
                             {.output_limit = 1000, .beyond_limit = overflow::kill});
  EXPECT_EQ(c.out.size(), 1000u);
  EXPECT_TRUE(c.overflowed);
  EXPECT_EQ(c.report.signal, SIGKILL);
}

TEST(spawn, reports_a_start_that_fails) {
  heddle::future<completed> f;
  {
    // libstdc++ counts an exception's owners out of the thread sanitizer's sight: the loop's thread
    // has to be done with it before it is looked at.
    loop_thread thread;
    f = spawn(thread.loop(), {.argv = {"heddle-no-such-program"}});
    f.wait();
  }
  try {
    f.get();
    FAIL();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().value(), ENOENT);
  }
}

TEST(spawn, rejects_contradictions) {
  event_loop loop;
  command what{.argv = {"true"}};
  EXPECT_THROW(static_cast<void>(spawn(loop, {.argv = {}})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(spawn(loop, what, {.timeout = -1ns})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(spawn(loop, what, {.grace = -1ns})), std::invalid_argument);
  what.standard_output = 1;
  EXPECT_THROW(static_cast<void>(spawn(loop, what, {.collect = capture::output})),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(spawn(loop, what, {.collect = capture::merged})),
               std::invalid_argument);
  what = {.argv = {"true"}};
  what.standard_error = 2;
  EXPECT_THROW(static_cast<void>(spawn(loop, what)), std::invalid_argument);
  what = {.argv = {"true"}};
  what.standard_input = 0;
  EXPECT_THROW(static_cast<void>(spawn(loop, what, {.input = "x"})), std::invalid_argument);
}

TEST(spawn, a_timeout_asks_first) {
  const completed c = finish_at_timeout(
      [] { return shell("trap 'echo asked; exit 9' TERM; echo up; sleep 1000 & wait"); }, 1h,
      wrote);
  EXPECT_TRUE(c.timed_out);
  EXPECT_EQ(c.out, "up\nasked\n");
  EXPECT_EQ(c.report.status, 9);
  EXPECT_FALSE(c.success());
}

TEST(spawn, a_timeout_kills_what_does_not_listen) {
  const completed c = finish_at_timeout(
      [] { return shell("trap '' TERM; echo up; while :; do sleep 1000; done"); }, 50ms, wrote);
  EXPECT_TRUE(c.timed_out);
  EXPECT_EQ(c.report.signal, SIGKILL);
}

TEST(spawn, a_stopped_command_hears_of_its_timeout_too) {
  const completed c = finish(shell("kill -STOP $$"), {.timeout = 50ms, .grace = 1h});
  EXPECT_TRUE(c.timed_out);
  EXPECT_EQ(c.report.signal, SIGTERM);
}

TEST(spawn, a_timeout_reaches_descendants_that_outlive_the_command) {
  witness w;
  // The shell ends at once; its child ignores SIGTERM and keeps the collected output open.
  const completed c = finish_at_timeout(
      [&] { return w.watched(shell("(trap '' TERM; echo up; exec sleep 1000) & exit 6")); }, 50ms,
      [](const completed& seen) { return wrote(seen) && seen.report.status == 6; });
  EXPECT_TRUE(c.timed_out);
  EXPECT_EQ(c.report.status, 6) << "how the command itself ended";
  w.all_gone();
}

TEST(spawn, waits_for_descendants_that_write_on) {
  const completed c = finish(shell("(sleep 0.1; echo late) & echo early"));
  EXPECT_EQ(c.out, "early\nlate\n");
}

TEST(spawn, ends_in_time_though_its_output_is_held_by_a_process_outside_the_group) {
  const completed c = finish_at_timeout(
      [] { return shell("setsid -w sh -c 'echo $$; exec sleep 1000' & wait"); }, 10ms, wrote);
  EXPECT_TRUE(c.timed_out);
  ASSERT_TRUE(wrote(c));
  ::kill(std::stoi(c.out), SIGKILL);
}

TEST(spawn, a_stop_token_ends_it) {
  loop_thread thread;
  witness w;
  std::stop_source source;
  auto f = spawn(thread.loop(), w.watched(shell("printf x >&2; sleep 1000")),
                 {.collect = capture::output, .stop = source.get_token()});
  wait_for_start(w);
  EXPECT_FALSE(f.ready());
  source.request_stop();
  EXPECT_THROW(f.get(), heddle::cancelled);
  w.all_gone();
  EXPECT_FALSE(has_children());
}

TEST(spawn, a_stop_before_the_start_starts_nothing) {
  std::stop_source source;
  source.request_stop();
  loop_thread thread;
  auto f = spawn(thread.loop(), {.argv = {"heddle-no-such-program"}}, {.stop = source.get_token()});
  EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST(spawn, cancelling_the_future_ends_it) {
  loop_thread thread;
  witness w;
  auto f = spawn(thread.loop(), w.watched(shell("printf x >&2; sleep 1000")),
                 {.collect = capture::output});
  wait_for_start(w);
  EXPECT_FALSE(f.cancel()) << "it runs, and is asked to stop";
  EXPECT_THROW(f.get(), heddle::cancelled);
  w.all_gone();
}

TEST(spawn, cancelling_before_the_start_starts_nothing) {
  event_loop loop;  // nobody runs it yet
  auto f = spawn(loop, {.argv = {"heddle-no-such-program"}});
  EXPECT_TRUE(f.cancel());
  EXPECT_THROW(f.get(), heddle::cancelled);
  post(loop, [&] { loop.stop(); });
  loop.run();
}

TEST(spawn, the_loops_destruction_kills_and_cancels) {
  witness w;
  heddle::future<completed> running;
  heddle::future<completed> waiting;
  std::stop_source source;
  {
    event_loop loop;
    running = spawn(loop, w.watched(shell("printf x >&2; sleep 1000")),
                    {.collect = capture::output, .stop = source.get_token()});
    post(loop, [&] { loop.stop(); });
    loop.run();
    wait_for_start(w);
    waiting = spawn(loop, {.argv = {"true"}});
  }
  EXPECT_THROW(running.get(), heddle::cancelled);
  EXPECT_THROW(waiting.get(), heddle::cancelled);
  w.all_gone();
  EXPECT_FALSE(has_children());
  source.request_stop();
}

TEST(spawn, a_dropped_future_lets_the_command_run_on) {
  pipe_ends p;  // used by the thread
  loop_thread thread;
  command what = shell("sleep 0.05; echo done");
  what.standard_output = p.write.get();
  {
    auto dropped = spawn(thread.loop(), what, {.collect = capture::none});
    post(thread.loop(), [&] { p.write.reset(); });
  }
  EXPECT_EQ(read_all(p.read.get()), "done\n");
}

TEST(spawn, many_from_several_threads_leave_nothing_behind) {
  const int before = open_descriptors();
  {
    loop_thread thread;
    std::vector<std::thread> users;
    for (int t = 0; t < 4; ++t) {
      users.emplace_back([&, t] {
        std::vector<heddle::future<completed>> futures;
        for (int i = 0; i < 25; ++i) {
          const std::string text = std::to_string(t * 100 + i);
          futures.push_back(spawn(thread.loop(), {.argv = {"cat"}}, {.input = text}));
        }
        for (int i = 0; i < 25; ++i) {
          EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().out, std::to_string(t * 100 + i));
        }
      });
    }
    for (auto& u : users) u.join();
  }
  EXPECT_FALSE(has_children());
  EXPECT_EQ(open_descriptors(), before);
}

TEST(spawn, stops_race_with_ends) {
  loop_thread thread;
  for (int i = 0; i < 200; ++i) {
    std::stop_source source;
    auto f = spawn(thread.loop(), {.argv = {"true"}}, {.stop = source.get_token()});
    std::thread stopper([&] { source.request_stop(); });
    try {
      EXPECT_TRUE(f.get().success());
    } catch (const heddle::cancelled&) {
    }
    stopper.join();
  }
  EXPECT_FALSE(has_children());
}

TEST(loop_thread, names_its_thread) {
  loop_thread thread("heddle-test");
  std::promise<std::string> name;
  post(thread.loop(), [&] {
    const unique_descriptor file(::open("/proc/thread-self/comm", O_RDONLY | O_CLOEXEC));
    name.set_value(read_all(file.get()));
  });
  EXPECT_EQ(name.get_future().get(), "heddle-test\n");
}

TEST(loop_thread, destruction_runs_what_was_posted_before) {
  int ran = 0;
  int discarded = 0;
  {
    loop_thread thread;
    for (int i = 0; i < 100; ++i) post(thread.loop(), [&] { ++ran; }, &discarded);
  }
  EXPECT_EQ(ran + discarded, 100);
}

}  // namespace
