#include <heddle/exec/scheduler.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/stop_token.hpp>

#include "support/pools.hpp"

namespace {

using heddle::manual_executor;
using heddle::scheduler;
using heddle::sender_names;
using heddle::thread_pool;

struct log {
  int values = 0;
  int stops = 0;
};

struct receiver {
  log* to;
  void set_value() && noexcept { ++to->values; }
  void set_stopped() && noexcept { ++to->stops; }
};

struct stoppable_env {
  heddle::prim::stop_token stop;
  heddle::prim::stop_token query(sender_names::get_stop_token_t) const noexcept { return stop; }
};
struct stoppable_receiver : receiver {
  heddle::prim::stop_token stop{};
  stoppable_env get_env() const noexcept { return {stop}; }
};

// What the model asks of each of the types.
using sender = decltype(std::declval<const scheduler&>().schedule());
using operation = decltype(std::declval<sender>().connect(std::declval<receiver>()));

static_assert(std::is_same_v<scheduler::scheduler_concept, sender_names::scheduler_t>);
static_assert(std::is_nothrow_copy_constructible_v<scheduler>);
static_assert(std::is_nothrow_copy_assignable_v<scheduler>);
static_assert(std::equality_comparable<scheduler>);
static_assert(noexcept(std::declval<const scheduler&>().schedule()));
static_assert(noexcept(std::declval<const scheduler&>() == std::declval<const scheduler&>()));

static_assert(std::is_same_v<sender::sender_concept, sender_names::sender_t>);
static_assert(std::is_nothrow_move_constructible_v<sender> && std::copyable<sender>);
static_assert(std::is_same_v<sender::completion_signatures,
                             sender_names::completion_signatures<sender_names::set_value_t(),
                                                                 sender_names::set_stopped_t()>>);
static_assert(noexcept(std::declval<const sender&>().get_env()));

static_assert(std::is_same_v<operation::operation_state_concept, sender_names::operation_state_t>);
static_assert(std::is_destructible_v<operation> && !std::is_move_constructible_v<operation>);
static_assert(noexcept(std::declval<operation&>().start()));

// Names of another library reach all the places where it looks for them.
struct foreign_names {
  struct scheduler_t {};
  struct sender_t {};
  struct operation_state_t {};
  template <class...>
  struct completion_signatures {};
  struct set_value_t {};
  struct set_stopped_t {};
  struct get_stop_token_t {};
  template <class>
  struct get_completion_scheduler_t {};
};
using foreign_scheduler = heddle::basic_scheduler<foreign_names>;
using foreign_sender = decltype(std::declval<foreign_scheduler>().schedule());
static_assert(std::is_same_v<foreign_scheduler::scheduler_concept, foreign_names::scheduler_t>);
static_assert(std::is_same_v<foreign_sender::sender_concept, foreign_names::sender_t>);
static_assert(std::is_same_v<foreign_sender::completion_signatures,
                             foreign_names::completion_signatures<foreign_names::set_value_t(),
                                                                  foreign_names::set_stopped_t()>>);

TEST(scheduler, completes_on_its_executor_and_not_before_start) {
  manual_executor loop;
  log seen;
  auto op = scheduler(loop).schedule().connect(receiver{&seen});
  EXPECT_EQ(loop.pending(), 0U);
  op.start();
  EXPECT_EQ(seen.values, 0);
  EXPECT_EQ(loop.drain(), 1U);
  EXPECT_EQ(seen.values, 1);
  EXPECT_EQ(seen.stops, 0);
}

TEST(scheduler, leaves_what_is_not_started_alone) {
  manual_executor loop;
  log seen;
  {
    auto op = scheduler(loop).schedule().connect(receiver{&seen});
  }
  EXPECT_EQ(loop.drain(), 0U);
  EXPECT_EQ(seen.values + seen.stops, 0);
}

TEST(scheduler, completes_where_its_environment_says) {
  manual_executor loop;
  const scheduler s(loop);
  const auto query = sender_names::get_completion_scheduler_t<sender_names::set_value_t>();
  EXPECT_EQ(s.schedule().get_env().query(query), s);
  EXPECT_EQ(s.executor(), loop.executor());
}

TEST(scheduler, is_equal_when_the_executor_is_the_same) {
  manual_executor a;
  manual_executor b;
  EXPECT_EQ(scheduler(a), scheduler(a.executor()));
  EXPECT_NE(scheduler(a), scheduler(b));
  scheduler copy(a);
  copy = scheduler(b);
  EXPECT_EQ(copy, scheduler(b));
}

TEST(scheduler, connects_as_often_as_one_likes) {
  manual_executor loop;
  log seen;
  const auto from = scheduler(loop).schedule();
  receiver r{&seen};
  auto first = from.connect(r);
  auto second = from.connect(std::as_const(r));
  auto third = from.connect(receiver{&seen});
  first.start();
  second.start();
  third.start();
  EXPECT_EQ(loop.drain(), 3U);
  EXPECT_EQ(seen.values, 3);
}

TEST(scheduler, tells_receivers_of_discarded_work_that_it_was_stopped) {
  manual_executor loop;
  log seen;
  auto op = scheduler(loop).schedule().connect(receiver{&seen});
  op.start();
  loop.close();
  EXPECT_EQ(seen.values, 0);
  EXPECT_EQ(seen.stops, 1);
  auto later = scheduler(loop).schedule().connect(receiver{&seen});
  later.start();
  EXPECT_EQ(seen.stops, 2);
}

TEST(scheduler, heeds_the_receivers_stop_token) {
  manual_executor loop;
  log seen;
  heddle::prim::stop_source stop;
  auto op = scheduler(loop).schedule().connect(stoppable_receiver{{&seen}, stop.get_token()});
  auto other = scheduler(loop).schedule().connect(stoppable_receiver{{&seen}});
  op.start();
  other.start();
  stop.request_stop();
  EXPECT_EQ(seen.stops, 0);
  EXPECT_EQ(loop.drain(), 2U);
  EXPECT_EQ(seen.stops, 1);
  EXPECT_EQ(seen.values, 1);
}

TEST(scheduler, runs_where_it_is_started_on_an_inline_executor) {
  heddle::inline_executor here;
  log seen;
  auto op = scheduler(here).schedule().connect(receiver{&seen});
  op.start();
  EXPECT_EQ(seen.values, 1);
}

struct move_only_receiver {
  std::unique_ptr<log*> to;
  void set_value() && noexcept { ++(*to)->values; }
  void set_stopped() && noexcept { ++(*to)->stops; }
};

TEST(scheduler, takes_receivers_that_cannot_be_copied) {
  heddle::inline_executor here;
  log seen;
  auto op = scheduler(here).schedule().connect(move_only_receiver{std::make_unique<log*>(&seen)});
  op.start();
  EXPECT_EQ(seen.values, 1);
}

// A receiver may end the operation that completes it.
struct owning_receiver;
struct owned_receiver {
  owning_receiver* in;
  void set_value() && noexcept;
  void set_stopped() && noexcept {}
};
struct owning_receiver {
  using owned = decltype(std::declval<sender>().connect(std::declval<owned_receiver>()));
  struct holder {
    owned op;
    holder(const sender& from, owning_receiver* o) : op(from.connect(owned_receiver{o})) {}
  };
  std::optional<holder> op;
  std::atomic<bool> ended = false;
};
void owned_receiver::set_value() && noexcept {
  owning_receiver* const o = in;
  o->op.reset();
  o->ended = true;
}

struct counted_context : heddle::context_node {
  counted_context()
      : context_node{[](context_node* n) noexcept { ++static_cast<counted_context*>(n)->count; },
                     [](context_node* n) noexcept { --static_cast<counted_context*>(n)->count; }} {}
  std::atomic<int> count = 0;
};

TEST(scheduler, its_operation_may_end_in_its_completion) {
  thread_pool pool(2U);
  const heddle_test::pool_watchdog dog(pool);
  counted_context context;
  for (int i = 0; i != 100; ++i) {
    owning_receiver o;
    o.op.emplace(scheduler(pool).schedule(), &o);
    {
      const heddle::context_scope inside(&context);
      o.op->op.start();
    }
    EXPECT_TRUE(heddle_test::eventually([&] { return o.ended.load(); }));
  }
  EXPECT_TRUE(heddle_test::eventually([&] { return context.count == 0; }));
}

struct context_receiver {
  heddle::context_ref* seen;
  void set_value() && noexcept { *seen = heddle::current_context(); }
  void set_stopped() && noexcept {}
};

TEST(scheduler, completes_with_the_context_of_the_start) {
  manual_executor loop;
  counted_context context;
  heddle::context_ref seen = nullptr;
  {
    auto op = scheduler(loop).schedule().connect(context_receiver{&seen});
    {
      const heddle::context_scope inside(&context);
      op.start();
    }
    EXPECT_EQ(context.count, 1);
    loop.drain();
  }
  EXPECT_EQ(seen, &context);
  EXPECT_EQ(heddle::current_context(), nullptr);
  EXPECT_EQ(context.count, 0);
}

struct worker_receiver {
  thread_pool* pool;
  std::atomic<int>* on_worker;
  void set_value() && noexcept { *on_worker += pool->worker_index() ? 1 : -1; }
  void set_stopped() && noexcept {}
};

TEST(scheduler, works_with_pools_and_strands) {
  thread_pool pool(2U);
  const heddle_test::pool_watchdog dog(pool);
  heddle::strand one_by_one(pool);
  std::atomic<int> on_worker = 0;
  auto a = scheduler(pool).schedule().connect(worker_receiver{&pool, &on_worker});
  auto b = scheduler(one_by_one).schedule().connect(worker_receiver{&pool, &on_worker});
  a.start();
  b.start();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(on_worker, 2);
}

TEST(scheduler, refuses_no_executor) {
  EXPECT_THROW(scheduler(heddle::executor_ref{}), std::invalid_argument);
}

}  // namespace
