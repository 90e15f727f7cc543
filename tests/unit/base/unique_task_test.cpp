#include <heddle/base/unique_task.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/failing_new.hpp"

namespace {

using heddle::unique_task;

std::string unhandled_message;
int unhandled_calls = 0;

class unique_task_test : public testing::Test {
 protected:
  void SetUp() override {
    unhandled_calls = 0;
    unhandled_message.clear();
    heddle::set_unhandled_handler([](std::exception_ptr e) noexcept {
      ++unhandled_calls;
      try {
        std::rethrow_exception(std::move(e));
      } catch (const std::exception& x) {
        unhandled_message = x.what();
      } catch (...) {
        unhandled_message = "something else";
      }
    });
  }
  void TearDown() override { heddle::set_unhandled_handler(nullptr); }
};

// Counts its living copies; can be told to throw when it is copied or moved.
struct tracked {
  enum class fault { none, copy, move };

  explicit tracked(int* calls, fault f = fault::none) : calls_(calls), fault_(f) { ++alive; }
  tracked(const tracked& other) : calls_(other.calls_), fault_(other.fault_) {
    if (fault_ == fault::copy) throw std::runtime_error("copying failed");
    ++alive;
  }
  tracked(tracked&& other) : calls_(other.calls_), fault_(other.fault_) {
    if (fault_ == fault::move) throw std::runtime_error("moving failed");
    ++alive;
  }
  ~tracked() { --alive; }

  void operator()() const { ++*calls_; }

  static inline int alive = 0;

 private:
  int* calls_;
  fault fault_;
};

TEST_F(unique_task_test, is_empty_by_default) {
  unique_task t;
  EXPECT_FALSE(t);
  EXPECT_EQ(t.release(), nullptr);
}

TEST_F(unique_task_test, runs_its_callable_and_is_empty_afterwards) {
  int calls = 0;
  unique_task t([&calls] { ++calls; });
  EXPECT_TRUE(t);
  EXPECT_EQ(calls, 0);
  t();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(t);
}

TEST_F(unique_task_test, destroys_the_callable_once_run_or_not) {
  int calls = 0;
  {
    unique_task run{tracked(&calls)};
    const unique_task unrun{tracked(&calls)};
    EXPECT_EQ(tracked::alive, 2);
    run();
    EXPECT_EQ(tracked::alive, 1);
  }
  EXPECT_EQ(tracked::alive, 0);
  EXPECT_EQ(calls, 1);
}

TEST_F(unique_task_test, moves) {
  int first = 0;
  int second = 0;
  unique_task a{tracked(&first)};
  unique_task b{tracked(&second)};
  b = std::move(a);
  EXPECT_EQ(tracked::alive, 1);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): the contract
  unique_task c(std::move(b));
  unique_task& same = c;
  c = std::move(same);
  ASSERT_TRUE(c);
  c();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
  EXPECT_EQ(tracked::alive, 0);
}

TEST_F(unique_task_test, takes_callables_that_can_only_be_moved) {
  int got = 0;
  unique_task t([p = std::make_unique<int>(7), &got] { got = *p; });
  t();
  EXPECT_EQ(got, 7);
}

TEST_F(unique_task_test, calls_an_rvalue) {
  struct consuming {
    int* out;
    void operator()() && { *out = 1; }
  };
  int out = 0;
  unique_task t(consuming{&out});
  t();
  EXPECT_EQ(out, 1);
}

TEST_F(unique_task_test, copies_an_lvalue_and_drops_a_result) {
  int calls = 0;
  const auto f = [&calls] {
    ++calls;
    return std::string("dropped");
  };
  unique_task a(f);
  unique_task b(f);
  a();
  b();
  EXPECT_EQ(calls, 2);
}

int function_calls = 0;
void plain_function() { ++function_calls; }

TEST_F(unique_task_test, takes_functions) {
  unique_task a(plain_function);
  unique_task b(&plain_function);
  a();
  b();
  EXPECT_EQ(function_calls, 2);
}

TEST_F(unique_task_test, keeps_the_alignment_of_the_callable) {
  struct alignas(256) wide {
    bool* aligned;
    std::array<char, 1000> payload{};
    void operator()() const { *aligned = reinterpret_cast<std::uintptr_t>(this) % 256 == 0; }
  };
  bool aligned = false;
  unique_task t(wide{&aligned});
  t();
  EXPECT_TRUE(aligned);
}

TEST_F(unique_task_test, lies_in_one_cell_which_is_recycled) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  int calls = 0;
  unique_task{tracked(&calls)};  // there is a cell now
  const long before = heddle_test::live_allocations_but_for_cells();
  for (int i = 0; i < 100'000; ++i) {
    const heddle_test::failing_allocations limited(HEDDLE_ASAN ? 1 : 0);
    unique_task t{tracked(&calls)};
    const unique_task moved(std::move(t));
  }
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

TEST_F(unique_task_test, throws_when_memory_is_short_and_leaks_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  struct too_large_for_a_cell : tracked {
    using tracked::tracked;
    std::array<char, 300> payload{};
  };
  int calls = 0;
  {
    const too_large_for_a_cell callable(&calls);
    const heddle_test::failing_allocations none(0);
    EXPECT_THROW(unique_task{callable}, std::bad_alloc);
    EXPECT_EQ(tracked::alive, 1);
  }
  EXPECT_EQ(tracked::alive, 0);
}

TEST_F(unique_task_test, throws_what_copying_or_moving_throws_and_leaks_nothing) {
  int calls = 0;
  const long before = heddle_test::live_allocations_but_for_cells();
  {
    const tracked copied(&calls, tracked::fault::copy);
    EXPECT_THROW(unique_task{copied}, std::runtime_error);
    tracked moved(&calls, tracked::fault::move);
    EXPECT_THROW(unique_task{std::move(moved)}, std::runtime_error);
    EXPECT_EQ(tracked::alive, 2);
  }
  EXPECT_EQ(tracked::alive, 0);
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

struct counted_context : heddle::context_node {
  counted_context() noexcept
      : context_node{
            [](context_node* n) noexcept { ++static_cast<counted_context*>(n)->references; },
            [](context_node* n) noexcept { --static_cast<counted_context*>(n)->references; },
        } {}
  int references = 1;
};

TEST_F(unique_task_test, lets_go_of_the_context_when_the_callable_cannot_be_made) {
  counted_context context;
  const heddle::context_scope scope(&context);
  int calls = 0;
  const tracked copied(&calls, tracked::fault::copy);
  EXPECT_THROW(unique_task{copied}, std::runtime_error);
  EXPECT_EQ(context.references, 1);
}

TEST_F(unique_task_test, runs_in_the_context_of_its_maker) {
  counted_context maker;
  counted_context runner;
  heddle::context_ref inside = nullptr;
  unique_task t;
  {
    const heddle::context_scope scope(&maker);
    t = unique_task([&] { inside = heddle::current_context(); });
  }
  EXPECT_EQ(maker.references, 2);
  const heddle::context_scope scope(&runner);
  t();
  EXPECT_EQ(inside, &maker);
  EXPECT_EQ(heddle::current_context(), &runner);
  EXPECT_EQ(maker.references, 1);
}

TEST_F(unique_task_test, puts_the_context_back_after_an_exception) {
  counted_context maker;
  unique_task t;
  {
    const heddle::context_scope scope(&maker);
    t = unique_task([] { throw std::runtime_error("x"); });
  }
  t();
  EXPECT_EQ(heddle::current_context(), nullptr);
  EXPECT_EQ(maker.references, 1);
}

TEST_F(unique_task_test, gives_exceptions_to_the_unhandled_handler) {
  const auto before = heddle::unhandled_count();
  unique_task t([] { throw std::runtime_error("out of luck"); });
  t();
  EXPECT_EQ(unhandled_calls, 1);
  EXPECT_EQ(unhandled_message, "out of luck");
  EXPECT_EQ(heddle::unhandled_count(), before + 1);
  unique_task odd([] { throw 42; });
  odd();
  EXPECT_EQ(unhandled_message, "something else");
}

TEST_F(unique_task_test, does_not_report_cancelled) {
  unique_task t([] { throw heddle::cancelled(); });
  t();
  EXPECT_EQ(unhandled_calls, 0);
}

struct recorded_job final : heddle::job {
  recorded_job() noexcept
      : job([](job* j, heddle::verb v) noexcept {
          auto* const self = static_cast<recorded_job*>(j);
          (v == heddle::verb::run ? self->runs : self->discards) += 1;
        }) {}
  int runs = 0;
  int discards = 0;
};

TEST_F(unique_task_test, gives_an_adopted_job_exactly_one_verb) {
  recorded_job run;
  recorded_job dropped;
  recorded_job replaced;
  recorded_job released;
  {
    unique_task t(&run);
    t();
    const unique_task u(&dropped);
    unique_task v(&replaced);
    v = unique_task();
    unique_task w(&released);
    EXPECT_EQ(w.release(), &released);
    EXPECT_FALSE(w);
  }
  EXPECT_EQ(run.runs, 1);
  EXPECT_EQ(run.discards, 0);
  EXPECT_EQ(dropped.runs, 0);
  EXPECT_EQ(dropped.discards, 1);
  EXPECT_EQ(replaced.discards, 1);
  EXPECT_EQ(released.runs + released.discards, 0);
}

TEST_F(unique_task_test, released_job_can_be_helped_without_effect_then_run) {
  int calls = 0;
  unique_task t{tracked(&calls)};
  heddle::job* const j = t.release();
  j->run(j, heddle::verb::help);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(tracked::alive, 1);
  j->run(j, heddle::verb::run);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(tracked::alive, 0);
}

TEST_F(unique_task_test, may_replace_itself_while_it_runs) {
  unique_task t;
  int second = 0;
  t = unique_task([&] { t = unique_task([&second] { ++second; }); });
  t();
  ASSERT_TRUE(t);
  t();
  EXPECT_EQ(second, 1);
}

}  // namespace
