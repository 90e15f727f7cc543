// GNU make's job tokens, without a make.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

TEST(makeflags, get_another_jobserver) {
  EXPECT_EQ(with_jobserver("", 4, "3,4"), "-j4 --jobserver-auth=3,4");
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

}  // namespace
