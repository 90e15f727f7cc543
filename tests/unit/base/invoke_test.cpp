#include <heddle/base/invoke.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace {

namespace detail = heddle::detail;

struct base_type {
  int value = 5;
  int add(int n) { return value + n; }
  int twice() const noexcept { return 2 * value; }
  int only_rvalue() && { return 9; }
  virtual std::string who() const { return "base"; }
  virtual ~base_type() = default;
};
struct derived_type : base_type {
  std::string who() const override { return "derived"; }
};

// Both a pointer and something with get(): the object is what * leads to.
struct smart {
  using type = int;
  base_type* target;
  base_type& operator*() const { return *target; }
  base_type* get() const { return nullptr; }
};

TEST(invoke, calls_functions_and_function_objects) {
  EXPECT_EQ(detail::invoke([](int a, int b) { return a - b; }, 5, 3), 2);
  int (*const f)(int) = [](int a) { return a + 1; };
  EXPECT_EQ(detail::invoke(f, 1), 2);
  static_assert(detail::invoke([](int a) { return a * a; }, 4) == 16);
}

TEST(invoke, passes_references_and_moves_on) {
  int n = 1;
  detail::invoke([](int& r) { r = 7; }, n);
  EXPECT_EQ(n, 7);
  int& same = detail::invoke([](int& r) -> int& { return r; }, n);
  EXPECT_EQ(&same, &n);
  auto p = detail::invoke([](std::unique_ptr<int> q) { return q; }, std::make_unique<int>(3));
  EXPECT_EQ(*p, 3);
}

TEST(invoke, uses_the_value_category_of_the_callable) {
  struct overloaded {
    int operator()() & { return 1; }
    int operator()() const& { return 2; }
    int operator()() && { return 3; }
  };
  overloaded o;
  EXPECT_EQ(detail::invoke(o), 1);
  EXPECT_EQ(detail::invoke(std::as_const(o)), 2);
  EXPECT_EQ(detail::invoke(overloaded{}), 3);
}

TEST(invoke, calls_member_functions_on_whatever_leads_to_an_object) {
  derived_type d;
  base_type* const pointer = &d;
  const auto owner = std::make_unique<derived_type>();
  const auto shared = std::make_shared<derived_type>();
  EXPECT_EQ(detail::invoke(&base_type::add, d, 1), 6);
  EXPECT_EQ(detail::invoke(&base_type::add, pointer, 2), 7);
  EXPECT_EQ(detail::invoke(&base_type::add, owner, 3), 8);
  EXPECT_EQ(detail::invoke(&base_type::add, shared, 4), 9);
  EXPECT_EQ(detail::invoke(&base_type::add, std::ref(d), 5), 10);
  EXPECT_EQ(detail::invoke(&base_type::twice, std::cref(d)), 10);
  EXPECT_EQ(detail::invoke(&base_type::twice, std::as_const(d)), 10);
  EXPECT_EQ(detail::invoke(&base_type::who, d), "derived");
  EXPECT_EQ(detail::invoke(&base_type::only_rvalue, base_type{}), 9);
  EXPECT_EQ(detail::invoke(&base_type::twice, std::optional<base_type>(base_type{})), 10);
  base_type target;
  EXPECT_EQ(detail::invoke(&base_type::twice, smart{&target}), 10);
}

TEST(invoke, reaches_member_objects) {
  derived_type d;
  EXPECT_EQ(detail::invoke(&base_type::value, d), 5);
  detail::invoke(&base_type::value, d) = 6;
  detail::invoke(&base_type::value, &d) += 1;
  detail::invoke(&base_type::value, std::ref(d)) += 1;
  EXPECT_EQ(d.value, 8);
  const auto owner = std::make_unique<derived_type>();
  EXPECT_EQ(detail::invoke(&base_type::value, owner), 5);
}

TEST(invoke, takes_a_member_pointer_from_a_variable) {
  auto member = &base_type::twice;
  const auto constant = &base_type::value;
  base_type b;
  EXPECT_EQ(detail::invoke(member, b), 10);
  EXPECT_EQ(detail::invoke(constant, b), 5);
}

}  // namespace
