#include <heddle/probe/names.hpp>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/thread.hpp>

#include "support/threads.hpp"

namespace {

using heddle::current_thread_name;
using heddle::set_current_thread_name;
using heddle::thread_names;

std::string kernel_name() {
  char text[16] = {};
  pthread_getname_np(pthread_self(), text, sizeof text);
  return text;
}

bool is_listed(int id, const std::string& name) {
  const auto names = thread_names();
  return std::count_if(names.begin(), names.end(), [&](const heddle::thread_name& n) {
           return n.kernel_thread_id == id && n.name == name;
         }) == 1;
}

bool is_listed(int id) {
  const auto names = thread_names();
  return std::any_of(names.begin(), names.end(),
                     [id](const heddle::thread_name& n) { return n.kernel_thread_id == id; });
}

TEST(names, a_thread_has_none_at_first) {
  std::thread([] {
    EXPECT_EQ(current_thread_name(), "");
    EXPECT_FALSE(is_listed(heddle::prim::kernel_thread_id()));
  }).join();
}

TEST(names, keeps_the_whole_name_and_gives_the_kernel_what_it_can_hold) {
  std::thread([] {
    const std::string name = "indexer of the third shelf";
    set_current_thread_name(name);
    EXPECT_EQ(current_thread_name(), name);
    EXPECT_EQ(kernel_name(), name.substr(0, 15));
    EXPECT_TRUE(is_listed(heddle::prim::kernel_thread_id(), name));
  }).join();
}

TEST(names, a_thread_can_be_renamed) {
  std::thread([] {
    set_current_thread_name("one");
    set_current_thread_name("two");
    EXPECT_EQ(current_thread_name(), "two");
    EXPECT_EQ(kernel_name(), "two");
    EXPECT_TRUE(is_listed(heddle::prim::kernel_thread_id(), "two"));
    set_current_thread_name("");
    EXPECT_EQ(current_thread_name(), "");
  }).join();
}

TEST(names, a_thread_that_has_ended_is_not_listed) {
  int id = 0;
  std::thread([&id] {
    id = heddle::prim::kernel_thread_id();
    set_current_thread_name("short-lived");
    EXPECT_TRUE(is_listed(id));
  }).join();
  EXPECT_FALSE(is_listed(id));
}

TEST(names, are_listed_in_the_order_in_which_they_were_given) {
  std::vector<std::string> listed;
  std::thread([&] {
    set_current_thread_name("order 1");
    std::thread([&] {
      set_current_thread_name("order 2");
      std::thread([&] {
        set_current_thread_name("order 3");
        for (const heddle::thread_name& n : thread_names()) {
          if (n.name.starts_with("order ")) listed.push_back(n.name);
        }
      }).join();
    }).join();
  }).join();
  EXPECT_EQ(listed, (std::vector<std::string>{"order 1", "order 2", "order 3"}));
}

TEST(names, serve_the_destructors_of_thread_locals) {
  struct farewell {
    ~farewell() {
      set_current_thread_name("farewell");
      EXPECT_EQ(current_thread_name(), "farewell");
    }
  };
  int id = 0;
  std::thread([&id] {
    thread_local const farewell f;
    static_cast<void>(&f);
    id = heddle::prim::kernel_thread_id();
  }).join();
  EXPECT_FALSE(is_listed(id));
}

TEST(names, can_be_read_while_threads_come_and_go) {
  const heddle_test::watchdog dog;
  std::atomic<bool> over{false};
  std::thread reader([&over] {
    while (!over) {
      for (const heddle::thread_name& n : thread_names()) {
        EXPECT_NE(n.kernel_thread_id, 0);
        EXPECT_FALSE(n.name.empty());
      }
    }
  });
  for (int round = 0; round < 100; ++round) {
    heddle_test::run_together(4, [](unsigned i) {
      const std::string name(40 + i, static_cast<char>('a' + i));
      set_current_thread_name(name);
      set_current_thread_name(name + name);
      EXPECT_EQ(current_thread_name(), name + name);
    });
  }
  over = true;
  reader.join();
}

TEST(names, a_forked_child_sees_itself_alone) {
  std::thread([] {
    set_current_thread_name("parent");
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      const auto names = thread_names();
      const bool good =
          names.size() == 1 && names[0].kernel_thread_id == getpid() && names[0].name == "parent";
      _exit(good ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }).join();
}

}  // namespace
