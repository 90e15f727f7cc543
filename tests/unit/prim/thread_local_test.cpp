#include <heddle/prim/thread_local.hpp>

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

namespace prim = heddle::prim;
using testing::ElementsAre;

TEST(thread_value, is_null_at_first_and_belongs_to_one_thread_and_slot) {
  constexpr auto slot = prim::thread_slot::trampoline;
  int here = 0;
  int there = 0;
  prim::thread_value(slot) = &here;
  std::thread([&] {
    EXPECT_EQ(prim::thread_value(slot), nullptr);
    prim::thread_value(slot) = &there;
  }).join();
  EXPECT_EQ(prim::thread_value(slot), &here);
  EXPECT_EQ(prim::thread_value(prim::thread_slot::worker), nullptr);
  prim::thread_value(slot) = nullptr;
}

struct logging final : prim::thread_exit_hook {
  logging(std::vector<int>& log, int id, logging* then = nullptr) noexcept
      : thread_exit_hook([](thread_exit_hook* h) noexcept {
          auto* const self = static_cast<logging*>(h);
          self->log_->push_back(self->id_);
          if (self->then_ != nullptr) prim::at_thread_exit(*self->then_);
        }),
        log_(&log),
        id_(id),
        then_(then) {}

 private:
  std::vector<int>* log_;
  int id_;
  logging* then_;
};

TEST(at_thread_exit, runs_the_newest_hook_first) {
  std::vector<int> log;
  logging one(log, 1);
  logging two(log, 2);
  logging three(log, 3);
  std::thread([&] {
    prim::at_thread_exit(one);
    prim::at_thread_exit(two);
    prim::at_thread_exit(three);
    EXPECT_TRUE(log.empty());
  }).join();
  EXPECT_THAT(log, ElementsAre(3, 2, 1));
}

TEST(at_thread_exit, runs_hooks_that_hooks_register) {
  std::vector<int> log;
  logging later(log, 9);
  logging one(log, 1);
  logging two(log, 2, &later);
  std::thread([&] {
    prim::at_thread_exit(one);
    prim::at_thread_exit(two);
  }).join();
  EXPECT_THAT(log, ElementsAre(2, 9, 1));
}

TEST(at_thread_exit, takes_hooks_from_the_destructors_of_thread_locals) {
  static std::vector<int>* log = nullptr;
  static logging* hook = nullptr;
  struct farewell {
    ~farewell() {
      log->push_back(0);
      prim::at_thread_exit(*hook);
    }
  };
  std::vector<int> written;
  logging first(written, 1);
  logging second(written, 2);
  log = &written;
  hook = &second;
  std::thread([&] {
    thread_local const farewell f;
    static_cast<void>(&f);
    prim::at_thread_exit(first);
  }).join();
  EXPECT_THAT(written, ElementsAre(0, 2, 1));
}

TEST(at_thread_exit, lets_a_hook_end_its_own_life) {
  struct self_destroying final : prim::thread_exit_hook {
    explicit self_destroying(int& count) noexcept
        : thread_exit_hook([](thread_exit_hook* h) noexcept {
            auto* const self = static_cast<self_destroying*>(h);
            ++*self->count_;
            delete self;
          }),
          count_(&count) {}
    int* count_;
  };
  int count = 0;
  std::thread([&] {
    for (int i = 0; i < 5; ++i) prim::at_thread_exit(*new self_destroying(count));
  }).join();
  EXPECT_EQ(count, 5);
}

}  // namespace
