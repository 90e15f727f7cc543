// GNU make's job tokens, without a make.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

#include "heddle/failure.hpp"
#include "heddle/jobserver.hpp"
#include "heddle/jobserver_flags.hpp"

namespace {

using namespace heddle::tool;
using heddle::process::event_loop;
using heddle::process::unique_descriptor;
using kind = jobserver_address::kind;

TEST(makeflags, name_the_last_jobserver_before_the_variables) {
  const auto found = [](std::string_view flags) { return find_jobserver(flags); };
  for (const char* none : {"", "k", "-j4", "ks -j -- V=--jobserver-auth=3,4",
                           "--jobserver-style=fifo", "x--jobserver-auth=3,4"}) {
    EXPECT_FALSE(found(none)) << none;
  }
  const auto pipe = found("kw -j8 --jobserver-auth=3,4 -Otarget -- V=a\\ --jobserver-auth=9,9");
  ASSERT_TRUE(pipe);
  EXPECT_EQ(pipe->what, kind::pipe);
  EXPECT_EQ(pipe->read, 3);
  EXPECT_EQ(pipe->write, 4);
  const auto old = found(" --jobserver-fds=10,11 -j");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->read, 10);
  EXPECT_EQ(old->write, 11);
  const auto last = found("--jobserver-auth=3,4 --jobserver-auth=fifo:/tmp/GMfifo1");
  ASSERT_TRUE(last);
  EXPECT_EQ(last->what, kind::fifo);
  EXPECT_EQ(last->path, "/tmp/GMfifo1");
  EXPECT_EQ(found("--jobserver-auth=-2,-2")->what, kind::closed);
  for (const char* strange :
       {"3", "3,", ",4", "3,4x", "a,b", "3 ,4", "fifo:", "99999999999,4", ""}) {
    EXPECT_EQ(found(std::string("--jobserver-auth=") + strange)->what, kind::unknown) << strange;
  }
}

// Make writes it like this with TMPDIR='/tmp/a b\c'.
TEST(makeflags, may_have_blanks_in_words) {
  const auto fifo = find_jobserver("k -j8 --jobserver-auth=fifo:/tmp/a\\ b\\\\c/GMfifo7\t-Oline");
  ASSERT_TRUE(fifo);
  EXPECT_EQ(fifo->path, "/tmp/a b\\c/GMfifo7");
  EXPECT_FALSE(find_jobserver("-I/a\\ --jobserver-auth=3,4")) << "a folder with an odd name";
  EXPECT_EQ(find_jobserver("--jobserver-auth=fifo:/x\\")->path, "/x\\") << "nothing to escape";
  EXPECT_EQ(with_jobserver("-I/a\\ -j2 -j3", 7, "3,4"), "-I/a\\ -j2 -j7 --jobserver-auth=3,4");
}

TEST(makeflags, get_another_jobserver) {
  EXPECT_EQ(with_jobserver("", 4, "3,4"), "-j4 --jobserver-auth=3,4");
  EXPECT_EQ(with_jobserver("-j 8 -k", 4, "3,4"), "-k -j4 --jobserver-auth=3,4");
  EXPECT_EQ(with_jobserver("--jobs -k", 4, "3,4"), "-k -j4 --jobserver-auth=3,4");
  EXPECT_EQ(
      with_jobserver("  k  -j2 --jobserver-auth=5,6 --jobs=9 -Oline -- A=-j1  B=c", 7, "fifo:/x"),
      "k -Oline -j7 --jobserver-auth=fifo:/x -- A=-j1  B=c");
}

struct counting_listener final : token_listener {
  explicit counting_listener(event_loop& l) : loop(l) {}
  void on_token() noexcept override {
    ++times;
    loop.stop();
  }
  event_loop& loop;
  int times = 0;
};

struct pipe_ends {
  pipe_ends() {
    int made[2];
    if (::pipe2(made, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category());
    read.reset(made[0]);
    write.reset(made[1]);
  }
  jobserver_address address() const {
    return {.what = kind::pipe, .read = read.get(), .write = write.get()};
  }
  void put(std::string_view tokens) const {
    ASSERT_EQ(::write(write.get(), tokens.data(), tokens.size()),
              static_cast<ssize_t>(tokens.size()));
  }
  std::string take_all() const {
    std::string all;
    token_pipe p(read.get(), write.get());
    while (const auto token = p.take()) all += *token;
    return all;
  }
  unique_descriptor read;
  unique_descriptor write;
};

TEST(jobserver_client, takes_what_its_jobs_need_and_gives_back_the_same) {
  event_loop loop;
  counting_listener listener(loop);
  const pipe_ends make;
  make.put("ab");
  {
    jobserver_client client(loop, make.address(), listener);
    EXPECT_EQ(client.descriptors(), (std::vector<int>{make.read.get(), make.write.get()}));
    EXPECT_TRUE(client.have(1)) << "the first job needs none";
    EXPECT_EQ(token_pipe(make.read.get(), make.write.get()).count(), 2u);
    EXPECT_TRUE(client.have(2));
    EXPECT_TRUE(client.have(3));
    EXPECT_FALSE(client.have(4));
    make.put("c");
    loop.run();
    EXPECT_EQ(listener.times, 1);
    EXPECT_TRUE(client.have(4));
    client.on_job_end(2);
    EXPECT_EQ(make.take_all().size(), 2u);
    make.put("xy");
    client.settle(2);
    EXPECT_TRUE(client.have(3));
  }
  std::string back = make.take_all();
  std::sort(back.begin(), back.end());
  EXPECT_EQ(back, "axy");
  EXPECT_EQ(::fcntl(make.read.get(), F_GETFL) & O_NONBLOCK, 0) << "it belongs to others, too";
}

// Whether those that the pipe belongs to have made it non-blocking or not.
TEST(jobserver_client, never_waits_and_leaves_the_pipe_as_it_is) {
  for (const int mode : {0, O_NONBLOCK}) {
    event_loop loop;
    counting_listener listener(loop);
    const pipe_ends make;
    ASSERT_EQ(::fcntl(make.read.get(), F_SETFL, mode), 0);
    ASSERT_EQ(::fcntl(make.write.get(), F_SETFL, mode), 0);
    make.put("a");
    jobserver_client client(loop, make.address(), listener);
    EXPECT_TRUE(client.have(2));
    EXPECT_FALSE(client.have(3));
    EXPECT_EQ(::fcntl(make.read.get(), F_GETFL) & O_NONBLOCK, mode);
    // Somebody who fills the pipe does not stop us.
    token_pipe pipe(make.read.get(), make.write.get());
    std::size_t junk = 0;
    while (pipe.put('x')) ++junk;
    EXPECT_GT(junk, 4096u);
    client.on_job_end(1);
    EXPECT_EQ(make.take_all(), std::string(junk, 'x'));
    client.settle(1);
    EXPECT_EQ(make.take_all(), "a") << "given back when there was room";
  }
}

TEST(token_pipe, that_cannot_be_used_is_not_waited_for) {
  const pipe_ends make;
  token_pipe pipe(make.read.get(), make.write.get());
  EXPECT_FALSE(pipe.take());
  EXPECT_FALSE(pipe.is_broken()) << "only empty";
  token_pipe closed(9998, 9999);
  EXPECT_FALSE(closed.take());
  EXPECT_TRUE(closed.is_broken());
  EXPECT_FALSE(closed.put('x'));
}

TEST(jobserver_client, of_a_named_pipe_needs_nobody_at_its_other_end) {
  const std::string name = testing::TempDir() + "heddle token pipe " + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(name.c_str(), 0600), 0);
  event_loop loop;
  counting_listener listener(loop);
  std::optional<jobserver_client> client;
  client.emplace(loop, jobserver_address{.what = kind::fifo, .path = name}, listener);
  EXPECT_TRUE(client->have(1));
  EXPECT_FALSE(client->have(2));
  const unique_descriptor make(::open(name.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(make);
  ASSERT_EQ(::unlink(name.c_str()), 0);
  ASSERT_EQ(::write(make.get(), "\0\xff", 2), 2);
  loop.run();
  EXPECT_TRUE(client->have(3));
  client.reset();
  std::array<char, 3> back{};
  ASSERT_EQ(::read(make.get(), back.data(), back.size()), 2);
  EXPECT_EQ(std::min(back[0], back[1]), '\xff');
  EXPECT_EQ(std::max(back[0], back[1]), '\0');
}

TEST(jobserver_client, says_what_is_wrong_with_a_jobserver) {
  event_loop loop;
  counting_listener listener(loop);
  const pipe_ends make;
  const unique_descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto refused = [&](jobserver_address address) {
    EXPECT_THROW(jobserver_client(loop, address, listener), run_error);
  };
  refused({.what = kind::pipe, .read = 9998, .write = 9999});
  refused({.what = kind::pipe, .read = null.get(), .write = null.get()});
  refused({.what = kind::pipe, .read = make.write.get(), .write = make.read.get()});
  const pipe_ends other;
  refused({.what = kind::pipe, .read = make.read.get(), .write = other.write.get()});
  refused({.what = kind::fifo, .path = "/dev/null"});
  refused({.what = kind::fifo, .path = "/nonexistent/fifo"});
  refused({.what = kind::closed});
  refused({.what = kind::unknown, .text = "x"});
}

// Plays the children.
struct server_test : testing::Test {
  server_test()
      : pipe([this] {
          const std::vector<int> ends = server.descriptors();
          return token_pipe(ends.at(0), ends.at(1));
        }()) {}

  event_loop loop;
  counting_listener listener{loop};
  jobserver server{loop, jobserver_style::pipe, listener};
  token_pipe pipe;
};

TEST_F(server_test, keeps_the_tokens_of_its_jobs_and_lends_the_others) {
  server.resize(4);
  ASSERT_TRUE(server.have(1));
  ASSERT_TRUE(server.have(2));
  server.settle(2);
  EXPECT_EQ(pipe.count(), 2u);
  const auto lent = pipe.take();
  ASSERT_TRUE(lent);
  EXPECT_TRUE(server.have(3));
  EXPECT_FALSE(server.have(4)) << "a child has the fourth";
  pipe.put(*lent);
  loop.run();
  EXPECT_EQ(listener.times, 1);
  EXPECT_TRUE(server.have(4));
  server.on_job_end(3);
  EXPECT_TRUE(server.have(4)) << "the next job gets the token of the last one";
  EXPECT_EQ(pipe.count(), 0u);
}

TEST_F(server_test, follows_the_number_of_slots) {
  server.resize(2);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  server.resize(5);
  server.settle(1);
  EXPECT_EQ(pipe.count(), 4u);
  const auto lent = pipe.take();
  ASSERT_TRUE(lent);
  server.resize(1);
  server.settle(1);
  EXPECT_EQ(pipe.count(), 0u);
  pipe.put(*lent);
  server.settle(1);
  EXPECT_EQ(pipe.count(), 0u) << "the fifth token goes when it comes back";
  EXPECT_EQ(server.lost(), 0u);
}

TEST_F(server_test, replaces_what_was_lost_when_no_job_runs) {
  server.resize(3);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  ASSERT_TRUE(pipe.take());
  ASSERT_TRUE(pipe.take());
  server.on_job_end(0);
  server.settle(0);
  EXPECT_EQ(server.lost(), 2u);
  EXPECT_EQ(pipe.count(), 3u);
  pipe.put('+');  // more than there should be
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  EXPECT_EQ(pipe.count(), 2u);
  EXPECT_EQ(server.lost(), 2u);
}

TEST_F(server_test, takes_out_what_children_gave_too_much) {
  server.resize(3);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  pipe.put('+');
  pipe.put('x');
  EXPECT_EQ(pipe.count(), 4u);
  server.settle(1);
  EXPECT_EQ(pipe.count(), 2u);
  EXPECT_TRUE(server.have(3));
  EXPECT_FALSE(server.have(4));
}

// With one job on its way the others can be without tokens that somebody was killed with; that one
// job always has its own.
TEST_F(server_test, runs_on_with_what_is_left) {
  server.resize(3);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  ASSERT_TRUE(pipe.take());
  ASSERT_TRUE(pipe.take());
  EXPECT_FALSE(server.have(2));
  EXPECT_TRUE(server.have(1));
  EXPECT_EQ(server.lost(), 2u) << "no job ran when it was asked for one";
  server.settle(1);
  EXPECT_EQ(pipe.count(), 2u);
}

TEST(jobserver, of_the_fifo_style_can_be_opened_by_name) {
  event_loop loop;
  counting_listener listener(loop);
  jobserver server(loop, jobserver_style::fifo, listener);
  server.resize(2);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  const auto address = find_jobserver(server.makeflags());
  ASSERT_TRUE(address);
  ASSERT_EQ(address->what, kind::fifo) << address->text;
  EXPECT_TRUE(server.descriptors().empty());
  jobserver_client client(loop, *address, listener);
  EXPECT_TRUE(client.have(2));
  EXPECT_FALSE(client.have(3));
}

// As make 4.4 and ninja 1.13 do it: the two directions apart, and the reading one does not wait.
TEST(jobserver, of_the_fifo_style_can_be_opened_twice) {
  event_loop loop;
  counting_listener listener(loop);
  jobserver server(loop, jobserver_style::fifo, listener);
  server.resize(2);
  ASSERT_TRUE(server.have(1));
  server.settle(1);
  const auto address = find_jobserver(server.makeflags());
  ASSERT_TRUE(address);
  const unique_descriptor read(::open(address->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const unique_descriptor write(::open(address->path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(read && write);
  char taken = 0;
  EXPECT_EQ(::read(read.get(), &taken, 1), 1);
  EXPECT_EQ(::read(read.get(), &taken, 1), -1);
  EXPECT_FALSE(server.have(2));
  EXPECT_EQ(::write(write.get(), &taken, 1), 1);
  loop.run();
  EXPECT_TRUE(server.have(2));
}

}  // namespace
