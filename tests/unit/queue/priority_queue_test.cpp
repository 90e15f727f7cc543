#include <heddle/queue/priority_queue.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "unit/lockfree/element.hpp"

namespace {

using heddle::priority_queue;
using heddle_test::refused;
using heddle_test::refusing_after;
using heddle_test::throwing;
using testing::ElementsAre;

struct request {
  int urgency;
  int number;
};
struct less_urgent {
  bool operator()(const request& a, const request& b) const { return a.urgency < b.urgency; }
};

TEST(priority_queue, the_greatest_is_next) {
  priority_queue<int> q;
  EXPECT_EQ(q.capacity(), q.unbounded);
  q.put_range(std::vector{3, 1, 4, 1, 5, 9, 2, 6});
  EXPECT_THAT(q.get_n(8), ElementsAre(9, 6, 5, 4, 3, 2, 1, 1));
  priority_queue<std::string, std::greater<>> smallest(4);
  for (const char* word : {"warp", "heddle", "weft", "loom"}) smallest.put(word);
  EXPECT_FALSE(smallest.try_put("shuttle"));
  EXPECT_THAT(smallest.get_n(4), ElementsAre("heddle", "loom", "warp", "weft"));
}

TEST(priority_queue, equals_are_first_in_first_out) {
  priority_queue<request, less_urgent> q;
  heddle::prim::random dice(7);
  std::vector<request> expected;
  for (int i = 0; i < 500; ++i) {
    expected.push_back({static_cast<int>(dice.below(5)), i});
    q.put(expected.back());
  }
  std::sort(expected.begin(), expected.end(), [](const request& a, const request& b) {
    return a.urgency != b.urgency ? a.urgency > b.urgency : a.number < b.number;
  });
  for (const request& e : expected) {
    const auto got = q.try_get();
    ASSERT_EQ(got->urgency, e.urgency);
    ASSERT_EQ(got->number, e.number);
  }
}

// Puts and gets mixed, against a plain sorted list.
TEST(priority_queue, keeps_its_order_while_items_come_and_go) {
  priority_queue<int> q;
  heddle::prim::random dice(11);
  std::vector<int> model;
  for (int i = 0; i < 3000; ++i) {
    if (model.empty() || dice.below(5) < 3) {
      const int item = static_cast<int>(dice.below(100));
      q.put(item);
      model.insert(std::lower_bound(model.begin(), model.end(), item), item);
    } else {
      ASSERT_EQ(q.get(), model.back());
      model.pop_back();
    }
  }
  EXPECT_EQ(q.length(), model.size());
}

TEST(priority_queue, takes_what_can_only_be_moved) {
  const auto less = [](const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) {
    return *a < *b;
  };
  priority_queue<std::unique_ptr<int>, decltype(less)> q(2, "", less);
  q.put(std::make_unique<int>(1));
  q.put(std::make_unique<int>(2));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(q.try_put(std::move(third)));
  EXPECT_EQ(*third, 3);  // NOLINT(bugprone-use-after-move): it was refused
  EXPECT_EQ(**q.get(), 2);
}

struct less_value {
  bool operator()(const throwing& a, const throwing& b) const { return a.value < b.value; }
};

TEST(priority_queue, an_item_whose_move_throws_stays_where_it_is) {
  {
    priority_queue<throwing, less_value> q;
    for (int i = 0; i < 10; ++i) q.put(throwing(i));
    throwing more(20);
    {
      const refusing_after none(0);
      EXPECT_THROW(q.put(std::move(more)), refused);
      EXPECT_THROW(q.get(), refused);
    }
    EXPECT_EQ(more.value, 20);  // NOLINT(bugprone-use-after-move): it was not put
    EXPECT_EQ(q.length(), 10U);
    for (int i = 9; i >= 5; --i) EXPECT_EQ(q.get()->value, i);
  }
  EXPECT_EQ(throwing::alive, 0) << "what was left is destroyed";
}

TEST(priority_queue, a_comparison_that_throws_changes_nothing) {
  int left = -1;  // so many more comparisons go well; negative: all
  const auto less = [&left](int a, int b) {
    if (left == 0) throw refused();
    if (left > 0) --left;
    return a < b;
  };
  for (int good = 0; good < 8; ++good) {
    priority_queue<int, decltype(less)> q(q.unbounded, "", less);
    left = -1;
    for (int i = 0; i < 16; ++i) q.put((i * 7) % 16);
    int put = 0;
    int taken = 0;
    for (int i = 0; i < 4; ++i) {
      left = good;
      try {
        q.put(100 + i);
        ++put;
      } catch (const refused&) {
      }
      left = good;
      try {
        if (q.try_get()) ++taken;
      } catch (const refused&) {
      }
    }
    left = -1;
    EXPECT_EQ(q.length(), static_cast<std::size_t>(16 + put - taken));
    const std::vector<int> rest = q.get_n(64);
    EXPECT_TRUE(std::is_sorted(rest.rbegin(), rest.rend()));
    EXPECT_EQ(rest.size(), static_cast<std::size_t>(16 + put - taken));
  }
}

}  // namespace
