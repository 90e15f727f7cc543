#include <heddle/prim/cell.hpp>

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace {

namespace prim = heddle::prim;

TEST(cell, begins_with_a_value_of_its_own) {
  EXPECT_EQ(prim::cell<int>().get(), 0);
  EXPECT_EQ(prim::cell<int>(7).get(), 7);
  EXPECT_EQ((prim::cell<std::string>(std::in_place, 3U, 'x').get()), "xxx");
}

TEST(cell, reads_and_writes_through_functions_and_hands_on_their_results) {
  prim::cell<std::string> c("ab");
  EXPECT_EQ(c.read([](const std::string& s) { return s.size(); }), 2U);
  EXPECT_EQ(c.write([](std::string& s) {
    s += 'c';
    return s.size();
  }),
            3U);
  c.set("z");
  EXPECT_EQ(c.get(), "z");
}

TEST(cell, holds_what_can_only_be_moved) {
  prim::cell<std::unique_ptr<int>> c(std::make_unique<int>(1));
  c.set(std::make_unique<int>(2));
  EXPECT_EQ(c.read([](const std::unique_ptr<int>& p) { return *p; }), 2);
  const std::unique_ptr<int> out = c.write([](std::unique_ptr<int>& p) { return std::move(p); });
  EXPECT_EQ(*out, 2);
}

TEST(cell, reading_gives_no_way_to_write) {
  using reader = decltype([](auto&& value) {
    return std::is_const_v<std::remove_reference_t<decltype(value)>>;
  });
  prim::cell<int> c(1);
  EXPECT_TRUE(c.read(reader{}));
}

}  // namespace
