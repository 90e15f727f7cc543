#include <heddle/future/when.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/shared_future.hpp>

namespace {

using heddle::future;
using heddle::promise;

struct many_made {
  std::vector<promise<int>> promises;
  std::vector<future<int>> futures;

  explicit many_made(std::size_t count) : promises(count) {
    for (auto& p : promises) futures.push_back(p.get_future());
  }
};

TEST(WhenAll, IsReadyWithTheLastAndKeepsTheOrder) {
  many_made m(3);
  auto all = heddle::when_all(std::move(m.futures));
  m.promises[2].set_value(2);
  m.promises[0].set_value(0);
  EXPECT_FALSE(all.ready());
  m.promises[1].set_value(1);
  ASSERT_TRUE(all.ready());
  auto futures = all.get();
  ASSERT_EQ(futures.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

TEST(WhenAll, KeepsEachException) {
  many_made m(2);
  auto all = heddle::when_all(std::move(m.futures));
  m.promises[0].set_exception(std::make_exception_ptr(std::runtime_error("first")));
  m.promises[1].set_value(7);
  auto futures = all.get();
  EXPECT_THROW(futures[0].get(), std::runtime_error);
  EXPECT_EQ(futures[1].get(), 7);
}

TEST(WhenAll, OfNoneIsReady) {
  auto all = heddle::when_all(std::vector<future<int>>());
  ASSERT_TRUE(all.ready());
  EXPECT_TRUE(all.get().empty());
}

TEST(WhenAll, RefusesAFutureWithoutState) {
  std::vector<future<int>> futures(1);
  EXPECT_THROW(static_cast<void>(heddle::when_all(std::move(futures))), heddle::no_state);
}

TEST(WhenAll, MayBeForgottenBeforeItIsReady) {
  many_made m(2);
  {
    auto all = heddle::when_all(std::move(m.futures));
  }
  m.promises[0].set_value(1);
  EXPECT_TRUE(m.promises[1].set_value(2));  // its future still lives, in what when_all made
}

TEST(WhenAny, TellsWhichAndKeepsTheOthersUsable) {
  many_made m(3);
  auto any = heddle::when_any(std::move(m.futures));
  EXPECT_FALSE(any.ready());
  m.promises[1].set_value(11);
  ASSERT_TRUE(any.ready());
  auto [index, futures] = any.get();
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(futures[1].get(), 11);
  EXPECT_FALSE(futures[0].ready());
  m.promises[0].set_value(10);
  EXPECT_EQ(futures[0].get(), 10);
  m.promises[2].set_value(12);
  EXPECT_EQ(futures[2].get(), 12);
}

TEST(WhenAny, TakesOneThatIsReadyAlready) {
  many_made m(3);
  m.promises[2].set_value(5);
  auto any = heddle::when_any(std::move(m.futures));
  ASSERT_TRUE(any.ready());
  EXPECT_EQ(any.get().index, 2u);
}

TEST(WhenAny, OfNoneIsRefused) {
  EXPECT_THROW(static_cast<void>(heddle::when_any(std::vector<future<int>>())),
               std::invalid_argument);
}

TEST(WhenAny, OfTheRestUntilNoneIsLeft) {
  many_made m(4);
  std::set<int> seen;
  auto rest = std::move(m.futures);
  for (auto i : {3u, 0u, 2u, 1u}) {
    auto any = heddle::when_any(std::move(rest));
    m.promises[i].set_value(static_cast<int>(i));
    auto [index, futures] = any.get();
    EXPECT_EQ(futures[index].get(), static_cast<int>(i));
    seen.insert(static_cast<int>(i));
    futures.erase(futures.begin() + static_cast<std::ptrdiff_t>(index));
    rest = std::move(futures);
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(WhenAll, OfDifferentKinds) {
  promise<int> number;
  promise<std::string> text;
  promise<void> nothing;
  auto all = heddle::when_all(number.get_future(), text.get_future().share(), nothing.get_future());
  nothing.set_value();
  number.set_value(1);
  EXPECT_FALSE(all.ready());
  text.set_value("two");
  ASSERT_TRUE(all.ready());
  auto [a, b, c] = all.get();
  EXPECT_EQ(a.get(), 1);
  EXPECT_EQ(b.get(), "two");
  c.get();
}

TEST(WhenAll, OfSharedFuturesLeavesTheOthersAlone) {
  promise<int> p;
  const auto shared = p.get_future().share();
  auto all = heddle::when_all(std::vector{shared, shared});
  p.set_value(3);
  EXPECT_EQ(all.get()[1].get(), 3);
  EXPECT_EQ(shared.get(), 3);
}

TEST(WhenAll, OfDifferentKindsRefusesOneWithoutState) {
  promise<int> p;
  EXPECT_THROW(static_cast<void>(heddle::when_all(p.get_future(), future<void>())),
               heddle::no_state);
  EXPECT_FALSE(p.is_cancelled());
  p.set_value(1);
}

TEST(WhenAny, OfDifferentKinds) {
  promise<int> number;
  promise<std::string> text;
  auto any = heddle::when_any(number.get_future(), text.get_future());
  text.set_value("first");
  ASSERT_TRUE(any.ready());
  auto [index, futures] = any.get();
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(std::get<1>(futures).get(), "first");
  number.set_value(2);
  EXPECT_EQ(std::get<0>(futures).get(), 2);
}

// Attaching races with tasks that end: every future arrives once, whoever meets whom.
TEST(When, RacesWithTasksThatEnd) {
  heddle::thread_pool pool(2);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<future<int>> futures;
    for (int i = 0; i < 4; ++i) futures.push_back(pool.submit([i] { return i; }));
    auto any = heddle::when_any(std::move(futures)).get();
    ASSERT_LT(any.index, 4u);
    ASSERT_TRUE(any.futures[any.index].ready());
    int sum = 0;
    for (auto& f : heddle::when_all(std::move(any.futures)).get()) sum += f.get();
    ASSERT_EQ(sum, 6);
  }
}

}  // namespace
