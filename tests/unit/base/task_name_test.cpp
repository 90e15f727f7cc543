#include <heddle/base/task_name.hpp>

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/unique_task.hpp>

namespace {

using heddle::named;
using heddle::readable_task_name;
using heddle::detail::task_name_scope;
using heddle::detail::task_name_sink;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct some_functor {
  std::string* told = nullptr;
  const task_name_sink* sink = nullptr;
  void operator()() const { *told = sink->name.load(); }
};

// Stands where a worker keeps the name of what it runs.
class name_recorder : public task_name_sink {
 public:
  name_recorder() noexcept {
    heddle::prim::thread_value(heddle::prim::thread_slot::task_name) =
        static_cast<task_name_sink*>(this);
  }
  ~name_recorder() { heddle::prim::thread_value(heddle::prim::thread_slot::task_name) = nullptr; }
  name_recorder(const name_recorder&) = delete;
  name_recorder& operator=(const name_recorder&) = delete;

  const char* now() const noexcept { return name.load(); }
};

TEST(named, calls_the_function_with_what_it_is_given) {
  auto add = named("add", [](int a, int b) { return a + b; });
  EXPECT_STREQ(add.name, "add");
  EXPECT_EQ(add(1, 2), 3);
  EXPECT_EQ(named("move", [p = std::make_unique<int>(4)]() mutable { return *std::move(p); })(), 4);
}

TEST(named, is_callable_only_as_its_function_is) {
  using named_unary = heddle::named_callable<int (*)(int)>;
  static_assert(std::is_invocable_v<named_unary, int>);
  static_assert(!std::is_invocable_v<named_unary>);
  static_assert(!std::is_invocable_v<named_unary, std::string>);
}

TEST(named, hands_on_references) {
  int n = 0;
  auto same = named("same", [&n]() -> int& { return n; });
  EXPECT_EQ(&same(), &n);
}

TEST(task_name_scope, tells_the_sink_of_its_thread) {
  name_recorder r;
  {
    const task_name_scope outer("outer");
    EXPECT_STREQ(r.now(), "outer");
    {
      const task_name_scope inner("inner");
      EXPECT_STREQ(r.now(), "inner");
    }
    EXPECT_STREQ(r.now(), "outer");
  }
  EXPECT_EQ(r.now(), nullptr);
}

TEST(task_name_scope, does_nothing_without_a_sink) {
  const task_name_scope scope("anything");
  EXPECT_EQ(heddle::prim::thread_value(heddle::prim::thread_slot::task_name), nullptr);
}

TEST(task_name, of_a_named_task_is_what_the_user_chose) {
  name_recorder r;
  std::string told;
  heddle::unique_task task(named("resize", [&] { told = r.now(); }));
  task();
  EXPECT_EQ(told, "resize");
  EXPECT_EQ(r.now(), nullptr);
}

TEST(task_name, of_another_task_names_its_type) {
  name_recorder r;
  std::string told;
  heddle::unique_task task{some_functor{&told, &r}};
  task();
  const std::string readable(readable_task_name(told.c_str()));
  EXPECT_THAT(readable, HasSubstr("some_functor"));
  EXPECT_THAT(readable, Not(HasSubstr("type_description")));
  EXPECT_THAT(readable, Not(HasSubstr("]")));
}

TEST(readable_task_name, names_a_lambda_by_its_type) {
  const auto lambda = [] {};
  const char* const described = heddle::detail::type_description<decltype(lambda)>();
  const std::string readable(readable_task_name(described));
  EXPECT_THAT(readable, HasSubstr("lambda"));
  EXPECT_THAT(readable, Not(HasSubstr("type_description")));
}

TEST(readable_task_name, keeps_brackets_that_belong_to_the_type) {
  const std::string readable(readable_task_name(heddle::detail::type_description<int[7]>()));
  EXPECT_THAT(readable, HasSubstr("int"));
  EXPECT_THAT(readable, HasSubstr("[7]"));
}

TEST(readable_task_name, returns_a_user_s_name_as_it_is) {
  EXPECT_EQ(readable_task_name("resize"), "resize");
  EXPECT_EQ(readable_task_name(""), "");
  EXPECT_EQ(readable_task_name("a [with b = c]"), "a [with b = c]");
  EXPECT_EQ(readable_task_name("F = 1]"), "F = 1]");
}

}  // namespace
