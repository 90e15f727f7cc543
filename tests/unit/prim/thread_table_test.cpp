#include <heddle/prim/thread_table.hpp>

#include <thread>

#include <gtest/gtest.h>

namespace {

namespace prim = heddle::prim;

TEST(inlined_thread_values, are_the_threads_values) {
  void** const here = prim::inlined_thread_values();
  EXPECT_EQ(here, prim::thread_values());
  std::thread([here] {
    EXPECT_NE(prim::inlined_thread_values(), here);
    EXPECT_EQ(prim::inlined_thread_values(), prim::thread_values());
    constexpr auto slot = prim::thread_slot::trampoline;
    int value = 0;
    prim::thread_value(slot) = &value;
    EXPECT_EQ(prim::inlined_thread_values()[static_cast<unsigned>(slot)], &value);
    prim::thread_value(slot) = nullptr;
  }).join();
}

}  // namespace
