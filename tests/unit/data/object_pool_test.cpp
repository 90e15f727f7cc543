#include <heddle/data/object_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/unhandled.hpp>
#include <heddle/lockfree/counter.hpp>
#include <heddle/sync/event.hpp>

#include "support/child_process.hpp"
#include "support/failing_allocations.hpp"
#include "support/threads.hpp"

namespace {

using heddle::object_pool;
using heddle::object_pool_options;
using testing::HasSubstr;

// Counts how many of it there are.
struct counted {
  counted() { ++alive; }
  explicit counted(int n) : number(n) { ++alive; }
  ~counted() { --alive; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

  int number = 0;
  static inline std::atomic<int> alive{0};
};

object_pool_options kept(std::size_t per_thread, std::size_t shared) {
  object_pool_options o;
  o.kept_per_thread = per_thread;
  o.kept_shared = shared;
  return o;
}

template <class T>
std::vector<typename object_pool<T>::lease> acquire_many(object_pool<T>& pool, std::size_t count) {
  std::vector<typename object_pool<T>::lease> leases;
  for (std::size_t i = 0; i < count; ++i) leases.push_back(pool.acquire());
  return leases;
}

template <class F>
std::string refusal_of(F f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}

TEST(object_pool, makes_an_object_when_it_has_none_and_uses_it_again) {
  object_pool<counted> pool;
  EXPECT_EQ(counted::alive, 0);
  counted* first = nullptr;
  {
    const auto lease = pool.acquire();
    first = lease.get();
    EXPECT_EQ(lease->number, 0);
    lease->number = 7;
    EXPECT_EQ((*lease).number, 7);
    const auto other = pool.acquire();
    EXPECT_NE(other.get(), first);
  }
  EXPECT_EQ(counted::alive, 2);
  const auto again = pool.acquire();
  EXPECT_EQ(again.get(), first);  // the last one that was given back
  EXPECT_EQ(again->number, 7);
}

TEST(object_pool, destroys_its_objects) {
  {
    object_pool<counted> pool(kept(4, 4));
    acquire_many(pool, 20);
    std::thread([&] { acquire_many(pool, 20); }).join();
    EXPECT_GT(counted::alive, 0);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(object_pool, asks_its_factory) {
  int made = 0;
  object_pool<counted> pool([&made] { return counted(++made); });
  const auto one = pool.acquire();
  auto two = pool.acquire();
  EXPECT_EQ(one->number, 1);
  EXPECT_EQ(two->number, 2);
  two.give_back();
  EXPECT_EQ(pool.acquire()->number, 2);
  EXPECT_EQ(made, 2);

  object_pool<std::string> converted([] { return "a word"; });
  EXPECT_EQ(*converted.acquire(), "a word");
}

TEST(object_pool, takes_what_owns_an_object) {
  struct shape {
    virtual ~shape() = default;
    virtual int corners() const = 0;
  };
  struct square final : shape {
    int corners() const override { return 4; }
  };
  object_pool<shape> shapes([] { return std::make_unique<square>(); });
  EXPECT_EQ(shapes.acquire()->corners(), 4);

  const auto only = std::make_shared<int>(9);
  {
    object_pool<int> shared([&only] { return only; }, kept(0, 0));
    const auto lease = shared.acquire();
    EXPECT_EQ(lease.get(), only.get());
    EXPECT_EQ(only.use_count(), 2);
  }
  EXPECT_EQ(only.use_count(), 1);

  object_pool<std::unique_ptr<int>> pointers([] { return std::unique_ptr<int>(); });
  EXPECT_EQ(*pointers.acquire(), nullptr);  // here the pointer is the object
}

TEST(object_pool, over_aligned_objects_are_aligned) {
  struct alignas(256) wide {
    char c[256] = {};
  };
  object_pool<wide> pool;
  for (const auto& lease : acquire_many(pool, 5)) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lease.get()) % 256, 0U);
  }
}

// Leases.

TEST(object_pool_lease, may_be_empty_and_moved) {
  object_pool<counted> pool;
  object_pool<counted>::lease none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), nullptr);
  none.give_back();
  none.discard();

  auto lease = pool.acquire();
  counted* const object = lease.get();
  object_pool<counted>::lease other(std::move(lease));
  EXPECT_FALSE(lease);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(other.get(), object);
  none = std::move(other);
  EXPECT_EQ(none.get(), object);
  EXPECT_EQ(pool.statistics().returned, 0U);

  none = pool.acquire();  // gives back the one it had
  EXPECT_NE(none.get(), object);
  EXPECT_EQ(pool.statistics().returned, 1U);
  none.give_back();
  none.give_back();
  EXPECT_FALSE(none);
  EXPECT_EQ(pool.statistics().returned, 2U);
}

TEST(object_pool_lease, discards_what_is_not_to_be_used_again) {
  object_pool<counted> pool;
  auto lease = pool.acquire();
  lease.discard();
  EXPECT_FALSE(lease);
  EXPECT_EQ(counted::alive, 0);
  const auto s = pool.statistics();
  EXPECT_EQ(s.discarded, 1U);
  EXPECT_EQ(s.returned, 1U);
}

TEST(object_pool_lease, may_be_given_back_on_another_thread) {
  object_pool<counted> pool(kept(4, 100));
  auto leases = acquire_many(pool, 50);
  std::thread([&] {
    leases.clear();
    EXPECT_GE(pool.statistics().returned, 50U);
  }).join();
  leases = acquire_many(pool, 50);
  EXPECT_EQ(counted::alive, 50);
  EXPECT_EQ(pool.statistics().created, 50U);
  EXPECT_EQ(pool.statistics().reused, 50U);
}

// What is kept.

TEST(object_pool, a_thread_that_ends_leaves_its_objects) {
  object_pool<counted> pool;
  counted* theirs = nullptr;
  std::thread([&] { theirs = pool.acquire().get(); }).join();
  EXPECT_EQ(pool.acquire().get(), theirs);
  EXPECT_EQ(counted::alive, 1);
}

TEST(object_pool, portions_go_from_thread_to_thread) {
  object_pool<counted> pool(kept(8, 1000));
  acquire_many(pool, 100);  // keeps up to 8, and leaves the others
  std::thread([&] {
    acquire_many(pool, 92);
    EXPECT_EQ(pool.statistics().created, 100U);
  }).join();
}

TEST(object_pool, with_no_share_for_threads_everything_comes_from_the_store) {
  object_pool<counted> pool(kept(0, 3));
  acquire_many(pool, 5);
  EXPECT_EQ(counted::alive, 3);
  std::thread([&] { acquire_many(pool, 3); }).join();
  EXPECT_EQ(pool.statistics().created, 5U);
  EXPECT_EQ(pool.statistics().discarded, 2U);
}

TEST(object_pool, with_a_share_of_one) {
  object_pool<counted> pool(kept(1, 2));
  acquire_many(pool, 6);
  EXPECT_EQ(counted::alive, 3);
  acquire_many(pool, 3);
  EXPECT_EQ(pool.statistics().created, 6U);
}

TEST(object_pool, with_no_store_a_thread_keeps_its_share_alone) {
  object_pool<counted> pool(kept(4, 0));
  acquire_many(pool, 20);
  EXPECT_LE(counted::alive, 4);
  EXPECT_GE(counted::alive, 3);  // each time it is full it gives a half away
}

TEST(object_pool, that_keeps_nothing_destroys_what_is_given_back) {
  object_pool<counted> pool(kept(0, 0));
  for (int i = 0; i < 3; ++i) {
    const auto lease = pool.acquire();
    EXPECT_EQ(counted::alive, 1);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().created, 3U);
  EXPECT_EQ(pool.statistics().reused, 0U);
}

TEST(object_pool, the_store_loses_what_it_is_not_to_have) {
  object_pool<counted> pool(kept(8, 10));
  acquire_many(pool, 100);
  EXPECT_LE(counted::alive, 8 + 10);
  // What threads leave at their end is kept, and counted when the next portion comes.
  heddle_test::run_together(6, [&](unsigned) { acquire_many(pool, 7); });
  acquire_many(pool, 40);
  EXPECT_LE(counted::alive, 8 + 10);
}

TEST(object_pool, has_some_from_the_beginning) {
  object_pool_options o = kept(8, 4);
  o.initial = 21;
  object_pool<counted> pool(o);
  EXPECT_EQ(counted::alive, 21);
  EXPECT_EQ(pool.statistics().created, 21U);
  const auto leases = acquire_many(pool, 21);
  EXPECT_EQ(pool.statistics().created, 21U);
  EXPECT_EQ(pool.statistics().reused, 21U);
}

// Bounds.

TEST(object_pool, has_no_more_objects_than_it_may) {
  object_pool_options o;
  o.most = 3;
  object_pool<counted> pool(o);
  auto leases = acquire_many(pool, 3);
  EXPECT_FALSE(pool.try_acquire());
  EXPECT_THROW(static_cast<void>(pool.acquire()), heddle::exhausted);
  try {
    static_cast<void>(pool.acquire());
  } catch (const heddle::exhausted& e) {
    EXPECT_THAT(e.what(), HasSubstr("3 objects"));
  }
  leases.pop_back();
  EXPECT_TRUE(pool.try_acquire());
  leases.front().discard();  // makes room for a new one
  leases.clear();
  leases = acquire_many(pool, 3);
  EXPECT_EQ(counted::alive, 3);
  EXPECT_EQ(pool.statistics().peak, 3U);
}

TEST(object_pool, idle_objects_of_other_threads_are_out_of_reach) {
  object_pool_options o = kept(2, 10);
  o.most = 2;
  object_pool<counted> pool(o);
  acquire_many(pool, 2);
  std::thread([&] { EXPECT_FALSE(pool.try_acquire()); }).join();

  o.kept_per_thread = 0;
  object_pool<counted> fair(o);
  acquire_many(fair, 2);
  std::thread([&] { EXPECT_TRUE(fair.try_acquire()); }).join();
}

TEST(object_pool, refuses_bounds_that_make_no_sense) {
  const auto refusal = [](object_pool_options o) {
    return refusal_of([&] { object_pool<int> pool(o); });
  };
  object_pool_options o;
  o.most = 0;
  EXPECT_EQ(refusal(o), "object_pool: most 0");
  o.most = 4;
  o.initial = 5;
  EXPECT_EQ(refusal(o), "object_pool: initial 5 is beyond most 4");
  o = {};
  o.kept_per_thread = object_pool_options::unlimited;
  EXPECT_THAT(refusal(o), HasSubstr("is beyond 2^20"));
}

// What throws.

TEST(object_pool, what_the_factory_throws_is_the_askers) {
  bool refuse = true;
  object_pool_options o;
  o.most = 2;
  object_pool<counted> pool(
      [&refuse] {
        if (refuse) throw std::runtime_error("no loom is free");
        return counted(3);
      },
      o);
  for (int i = 0; i < 10; ++i) {  // for ever, without using up the bound
    EXPECT_THROW(static_cast<void>(pool.acquire()), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.try_acquire()), std::runtime_error);
  }
  const auto s = pool.statistics();
  EXPECT_EQ(s.created + s.reused + s.returned + s.discarded + s.peak, 0U);
  refuse = false;
  const auto leases = acquire_many(pool, 2);
  EXPECT_EQ(leases[1]->number, 3);
}

TEST(object_pool, a_factory_that_returns_null_is_told_of) {
  bool refuse = true;
  object_pool<int> pool([&refuse] { return refuse ? nullptr : std::make_unique<int>(5); });
  EXPECT_THROW(static_cast<void>(pool.acquire()), heddle::null_object);
  EXPECT_THROW(static_cast<void>(pool.try_acquire()), heddle::null_object);
  EXPECT_EQ(pool.statistics().created, 0U);
  refuse = false;
  EXPECT_EQ(*pool.acquire(), 5);
}

TEST(object_pool, a_constructor_that_throws_leaves_nothing) {
  object_pool_options o = kept(4, 0);
  o.initial = 9;
  for (int limit = 0; limit < 9; ++limit) {
    int made = 0;
    EXPECT_THROW(object_pool<counted>(
                     [&] {
                       if (made == limit) throw std::runtime_error("enough");
                       return counted(++made);
                     },
                     o),
                 std::runtime_error);
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(object_pool, resets_what_is_given_back) {
  object_pool<std::string> pool([] { return std::string("new"); },
                                [](std::string& s) { s = "reset on " + s; });
  pool.acquire()->assign("loan");
  EXPECT_EQ(*pool.acquire(), "reset on loan");
}

std::atomic<int> unhandled{0};
void count_unhandled(std::exception_ptr) noexcept { ++unhandled; }

TEST(object_pool, an_object_whose_reset_throws_is_discarded) {
  unhandled = 0;
  heddle::set_unhandled_handler(&count_unhandled);
  {
    object_pool<counted> pool([] { return counted(1); },
                              [](counted& c) {
                                if (c.number == 2) throw std::runtime_error("worn out");
                              });
    for (int i = 0; i < 3; ++i) pool.acquire()->number = 2;
    EXPECT_EQ(counted::alive, 0);
    EXPECT_EQ(unhandled, 3);
    EXPECT_EQ(pool.statistics().discarded, 3U);
    EXPECT_EQ(pool.statistics().returned, 3U);
    EXPECT_EQ(pool.acquire()->number, 1);
    EXPECT_EQ(counted::alive, 1);
  }
  heddle::set_unhandled_handler(nullptr);
}

TEST(object_pool, throws_when_memory_is_short_and_works_afterwards) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  int refused = 0;
  for (bool worked = false; !worked; ++refused) {
    object_pool<counted> pool;
    std::thread([&] {
      {
        const heddle_test::failing_allocations limited(refused);
        try {
          static_cast<void>(pool.acquire());
          worked = true;
        } catch (const std::bad_alloc&) {
        }
      }
      EXPECT_TRUE(pool.acquire());
    }).join();
    EXPECT_EQ(pool.statistics().created, 1U);
  }
  EXPECT_GE(refused, 4);
}

TEST(object_pool, giving_back_needs_no_memory) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  object_pool<counted> pool;
  auto leases = acquire_many(pool, 3);
  std::thread([&] {  // one that has no place in the pool, and gets none
    const heddle_test::failing_allocations none(0);
    leases[0].give_back();
    leases[1].discard();
  })
      .join();
  auto s = pool.statistics();
  EXPECT_EQ(s.returned, 2U);
  EXPECT_EQ(s.discarded, 1U);
  EXPECT_EQ(counted::alive, 2);
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(counted::alive, 2);
}

// Use of the pool from inside.

TEST(object_pool, its_functions_may_use_it) {
  using pool_type = object_pool<counted>;
  pool_type* self = nullptr;
  int depth = 0;
  pool_type pool(
      [&] {
        if (++depth < 3) static_cast<void>(self->acquire());
        return counted(depth);
      },
      [&](counted& c) {
        if (std::exchange(c.number, 0) == 100) static_cast<void>(self->acquire());
      },
      kept(2, 2));
  self = &pool;
  pool.acquire()->number = 100;
  EXPECT_EQ(depth, 3);
  const auto s = pool.statistics();
  EXPECT_EQ(s.created, 3U);
  EXPECT_EQ(s.returned, s.created + s.reused);
}

TEST(object_pool, objects_may_hold_leases_of_the_same_pool) {
  struct chained {
    std::optional<object_pool<counted>::lease> own;
    object_pool<chained>::lease next;
  };
  object_pool<counted> plain;
  {
    object_pool<chained> pool([] { return chained(); },
                              [](chained& c) {
                                c.own.reset();
                                c.next.give_back();
                              },
                              kept(1, 0));
    object_pool<chained>::lease chain;
    for (int i = 0; i < 10; ++i) {
      auto link = pool.acquire();
      link->own = plain.acquire();
      link->next = std::move(chain);
      chain = std::move(link);
    }
    chain.discard();  // and so one after the other
    EXPECT_EQ(pool.statistics().returned, 10U);
    auto last = pool.acquire();
    last->next = pool.acquire();
  }
  EXPECT_EQ(plain.statistics().returned, 10U);
}

// Leases that outlive the pool.

TEST(object_pool, leases_may_outlive_it) {
  // What a thread's first use leaves.
  static_cast<void>(object_pool<counted>([] { return counted(8); }).acquire());
  const long before = heddle_test::live_allocations_but_for_cells();
  {
    std::vector<object_pool<counted>::lease> leases;
    int resets = 0;
    {
      object_pool<counted> pool([] { return counted(8); }, [&resets](counted&) { ++resets; },
                                kept(2, 2));
      leases = acquire_many(pool, 6);
      leases.pop_back();
    }
    EXPECT_EQ(counted::alive, 5);
    EXPECT_EQ(leases[2]->number, 8);
    leases[0].give_back();
    leases[1].discard();
    EXPECT_EQ(counted::alive, 3);
    std::thread([&] { leases[2].give_back(); }).join();
    auto moved = std::move(leases[3]);
    leases.clear();
    EXPECT_EQ(counted::alive, 1);
    EXPECT_EQ(moved->number, 8);
    EXPECT_EQ(resets, 1);  // of the one that was given back to the pool
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

TEST(object_pool, a_reset_that_has_begun_may_outlive_it) {
  const heddle_test::watchdog dog;
  heddle::manual_reset_event begun;
  heddle::manual_reset_event ended;
  auto captured = std::make_shared<std::string>("as long as the lease");
  const std::weak_ptr<std::string> watched = captured;
  int resets = 0;
  auto pool = std::make_unique<object_pool<counted>>(
      [captured] { return counted(static_cast<int>(captured->size())); },
      [captured, &begun, &ended, &resets](counted& c) {
        begun.set();
        ended.wait();
        resets += *captured == "as long as the lease" && c.number == 20 ? 1 : 100;
      });
  captured.reset();
  auto lease = pool->acquire();
  auto later = pool->acquire();
  std::thread returning([&] { lease.give_back(); });
  begun.wait();
  pool.reset();
  EXPECT_EQ(counted::alive, 2);
  later.give_back();
  EXPECT_EQ(counted::alive, 1);
  EXPECT_FALSE(watched.expired());
  ended.set();
  returning.join();
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(resets, 1);
  EXPECT_TRUE(watched.expired());
}

TEST(object_pool, leases_may_outlive_it_where_there_is_no_memory) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  object_pool<counted>::lease lease;
  {
    object_pool<counted> pool;
    lease = pool.acquire();
  }
  std::thread([&] {
    const heddle_test::failing_allocations none(0);
    lease.give_back();
  }).join();
  EXPECT_EQ(counted::alive, 0);
}

// Statistics.

TEST(object_pool, tells_what_each_thread_did) {
  object_pool<counted> pool;
  auto mine = acquire_many(pool, 3);
  mine.pop_back();
  std::thread([&] {
    acquire_many(pool, 2);
    acquire_many(pool, 2);
    mine.clear();
  }).join();
  const auto each = pool.statistics_by_thread();
  ASSERT_EQ(each.size(), 2U);
  const bool first_is_mine = each[0].created == 3;
  const auto& ours = each[first_is_mine ? 0 : 1];
  const auto& theirs = each[first_is_mine ? 1 : 0];
  EXPECT_EQ(ours.created, 3U);
  EXPECT_EQ(ours.reused, 0U);
  EXPECT_EQ(ours.returned, 1U);
  EXPECT_EQ(ours.peak, 3U);
  EXPECT_EQ(theirs.created, 2U);
  EXPECT_EQ(theirs.reused, 2U);
  EXPECT_EQ(theirs.returned, 6U);
  EXPECT_EQ(theirs.peak, 2U);
  const auto all = pool.statistics();
  EXPECT_EQ(all.created, 5U);
  EXPECT_EQ(all.reused, 2U);
  EXPECT_EQ(all.returned, 7U);
  EXPECT_EQ(all.discarded, 0U);
  EXPECT_EQ(all.peak, 5U);
}

TEST(object_pool, a_forked_child_goes_on) {
  object_pool<counted> pool(kept(2, 100));
  auto leases = acquire_many(pool, 10);
  leases.resize(4);
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    const auto before = pool.statistics();
    const auto more = acquire_many(pool, 6);
    leases.clear();
    return pool.statistics().created == before.created;
  }));
  EXPECT_EQ(counted::alive, 10);
}

TEST(object_pool, a_forked_child_ends_it_at_once) {
  const heddle_test::watchdog dog;
  auto pool = std::make_unique<object_pool<counted>>(kept(8, 100));
  auto leases = acquire_many(*pool, 6);
  leases.resize(4);  // two are idle, in this thread's place
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    pool.reset();
    if (counted::alive != 4) return false;
    leases.clear();
    return counted::alive == 0;
  }));
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    leases.resize(1);  // given back, but nothing taken
    pool.reset();
    return counted::alive == 1;
  }));
  EXPECT_EQ(counted::alive, 6);
}

// Other threads are in the middle of calls when the process forks.
TEST(object_pool, a_child_forked_off_in_the_middle_can_end_it) {
  const heddle_test::watchdog dog;
  auto pool = std::make_unique<object_pool<std::string>>(kept(2, 100));
  std::atomic<bool> over{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!over) acquire_many(*pool, 5);
    });
  }
  auto lease = pool->acquire();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(heddle_test::holds_in_child([&] {
      const auto more = acquire_many(*pool, 5);
      pool.reset();
      lease->assign("still there");
      lease.give_back();
      return true;
    }));
  }
  over = true;
  for (auto& thread : busy) thread.join();
}

}  // namespace
