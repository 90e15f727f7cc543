#include <heddle/data/context.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using heddle::context;
using heddle::context_key;
using heddle::scoped_context;

enum class level : std::uint8_t { low, high };
struct opaque {};
struct point {
  int x = 0;
  friend std::string to_string(const point& p) { return "x" + std::to_string(p.x); }
};

const context_key<std::string> request("request", "none");
const context_key<int> attempt("attempt", 1);
const context_key<std::shared_ptr<int>> token("token");

TEST(context, is_empty_at_first_and_keys_have_their_defaults) {
  const context none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.find(request), nullptr);
  EXPECT_EQ(none.get(request), "none");
  EXPECT_EQ(request.find(), nullptr);
  EXPECT_EQ(request.get(), "none");
  EXPECT_EQ(attempt.get(), 1);
  EXPECT_TRUE(context::current().empty());
  EXPECT_STREQ(request.name(), "request");
}

TEST(context, with_makes_another_one) {
  const context a = context().with(request, "17");
  const context b = a.with(attempt, 2).with(request, "18");
  EXPECT_EQ(a.get(request), "17");
  EXPECT_EQ(a.get(attempt), 1);
  EXPECT_EQ(b.get(request), "18");
  EXPECT_EQ(b.get(attempt), 2);
  EXPECT_EQ(a.size(), 1U);
  EXPECT_EQ(b.size(), 2U);
}

TEST(context, a_key_is_an_object_and_not_a_name) {
  const context_key<std::string> other("request", "other");
  const context a = context().with(request, "17");
  EXPECT_EQ(a.get(other), "other");
}

TEST(context, values_live_as_long_as_a_context_has_them) {
  auto shared = std::make_shared<int>(1);
  context a = context().with(token, shared);
  EXPECT_EQ(shared.use_count(), 2);  // with() has copied it once
  const context b = a.with(attempt, 2);
  const context c = b.with(attempt, 3);
  context copy = a;
  EXPECT_EQ(shared.use_count(), 2);
  EXPECT_EQ(c.find(token), b.find(token));
  a = c.with(token, nullptr);
  copy = context();
  EXPECT_EQ(shared.use_count(), 2);
  EXPECT_EQ(a.get(token), nullptr);
  const context moved = std::move(a);
  EXPECT_EQ(moved.get(attempt), 3);
}

TEST(context, a_value_that_cannot_be_made_changes_nothing) {
  struct fragile {
    fragile() = default;
    explicit fragile(int) { throw std::runtime_error("fragile"); }
  };
  const context_key<fragile> key("fragile");
  const context a = context().with(attempt, 2);
  EXPECT_THROW(static_cast<void>(a.with(key, 1)), std::runtime_error);
  EXPECT_EQ(a.size(), 1U);
}

TEST(context, tells_its_values_for_logs) {
  const context_key<bool> flag("flag");
  const context_key<char> letter("letter");
  const context_key<level> how("how");
  const context_key<point> where("where");
  const context_key<opaque> what("what");
  const context_key<const char*> text("text");
  const context all = context()
                          .with(request, "17")
                          .with(attempt, 2)
                          .with(flag, true)
                          .with(letter, 'x')
                          .with(how, level::high)
                          .with(where, point{3})
                          .with(what, opaque())
                          .with(text, "t")
                          .with(request, "18");
  EXPECT_EQ(all.text(), "request=18 attempt=2 flag=true letter=x how=1 where=x3 what=? text=t");
  std::string names;
  all.for_each([&](std::string_view name, std::string_view value) {
    names += std::string(name) + std::string(value.substr(0, 1)) + " ";
  });
  EXPECT_EQ(names, "request1 attempt2 flagt letterx how1 wherex what? textt ");
  EXPECT_EQ(context().text(), "");
}

TEST(scoped_context, is_in_place_for_a_scope) {
  {
    const scoped_context outer(request, "17");
    EXPECT_EQ(request.get(), "17");
    {
      const scoped_context inner(attempt, 2);
      EXPECT_EQ(request.get(), "17");
      EXPECT_EQ(attempt.get(), 2);
      {
        const scoped_context none{context()};
        EXPECT_EQ(request.get(), "none");
      }
      EXPECT_EQ(*request.find(), "17");
    }
    EXPECT_EQ(attempt.get(), 1);
    EXPECT_EQ(context::current().text(), "request=17");
  }
  EXPECT_EQ(request.get(), "none");
}

TEST(scoped_context, is_of_its_thread) {
  const scoped_context here(request, "17");
  std::thread([] { EXPECT_EQ(request.get(), "none"); }).join();
  std::thread([now = context::current()] {
    const scoped_context there(now);
    EXPECT_EQ(request.get(), "17");
  }).join();
}

TEST(in_current_context, takes_the_context_along) {
  std::function<int(int)> f;
  auto shared = std::make_shared<int>(1);
  {
    const scoped_context here(context().with(attempt, 5).with(token, shared));
    f = heddle::in_current_context([](int n) { return n + attempt.get(); });
  }
  EXPECT_EQ(shared.use_count(), 2);
  EXPECT_EQ(f(10), 15);
  EXPECT_EQ(attempt.get(), 1);
  std::thread([&] { EXPECT_EQ(f(20), 25); }).join();
  f = nullptr;
  EXPECT_EQ(shared.use_count(), 1);
  auto once = heddle::in_current_context([p = std::make_unique<int>(3)] { return *p; });
  EXPECT_EQ(once(), 3);
  void (*none)() = nullptr;
  EXPECT_THROW(static_cast<void>(heddle::in_current_context(none)), std::invalid_argument);
}

// Others may put contexts of their own make in the same place.
TEST(context, of_another_make_has_no_values) {
  heddle::context_node foreign{[](heddle::context_node*) noexcept {},
                               [](heddle::context_node*) noexcept {}};
  const heddle::context_scope around(&foreign);
  EXPECT_EQ(request.get(), "none");
  EXPECT_TRUE(context::current().empty());
  {
    const scoped_context here(request, "17");
    EXPECT_EQ(request.get(), "17");
    EXPECT_NE(heddle::current_context(), &foreign) << "it is out of sight for the scope";
  }
  EXPECT_EQ(heddle::current_context(), &foreign);
  EXPECT_EQ(context::current().with(request, "17").size(), 1U);
}

}  // namespace
