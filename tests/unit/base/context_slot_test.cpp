#include <heddle/base/context_slot.hpp>

#include <thread>

#include <gtest/gtest.h>

namespace {

using namespace heddle;

struct counted : context_node {
  counted() noexcept
      : context_node{
            [](context_node* n) noexcept { ++static_cast<counted*>(n)->references; },
            [](context_node* n) noexcept { --static_cast<counted*>(n)->references; },
        } {}
  int references = 1;
};

TEST(context_slot, is_empty_at_first_on_every_thread) {
  EXPECT_EQ(current_context(), nullptr);
  counted node;
  const context_scope scope(&node);
  context_ref seen = &node;
  std::thread([&] { seen = current_context(); }).join();
  EXPECT_EQ(seen, nullptr);
  EXPECT_EQ(current_context(), &node);
}

TEST(context_slot, exchange_returns_the_one_before_and_moves_no_count) {
  counted a;
  counted b;
  EXPECT_EQ(exchange_current(&a), nullptr);
  EXPECT_EQ(exchange_current(&b), &a);
  EXPECT_EQ(exchange_current(nullptr), &b);
  EXPECT_EQ(a.references, 1);
  EXPECT_EQ(b.references, 1);
}

TEST(context_slot, scopes_nest) {
  counted a;
  counted b;
  {
    const context_scope outer(&a);
    {
      const context_scope inner(&b);
      EXPECT_EQ(current_context(), &b);
      {
        const context_scope none(nullptr);
        EXPECT_EQ(current_context(), nullptr);
      }
      EXPECT_EQ(current_context(), &b);
    }
    EXPECT_EQ(current_context(), &a);
  }
  EXPECT_EQ(current_context(), nullptr);
}

TEST(captured_context, keeps_the_context_alive) {
  counted a;
  {
    const context_scope scope(&a);
    const captured_context captured;
    EXPECT_EQ(a.references, 2);
    EXPECT_EQ(captured.get(), &a);
    const context_scope other(nullptr);
    EXPECT_EQ(captured.get(), &a);
  }
  EXPECT_EQ(a.references, 1);
  EXPECT_EQ(captured_context().get(), nullptr);
}

}  // namespace
