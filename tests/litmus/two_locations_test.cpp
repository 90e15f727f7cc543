// Message passing, store buffering, load buffering, independent reads of independent writes, 2+2W.
#include <gmock/gmock.h>

#include "litmus/litmus.hpp"

namespace {

using namespace litmus;
using heddle::prim::fence;
using heddle::prim::heavy_fence;
using heddle::prim::light_fence;
using testing::ElementsAre;

// Message passing: x is the message, y the flag. a: the flag as read, b: the message.

outcomes message_passing(const thread& send, const thread& receive) {
  return run({send, receive}, [](place& p) { return digits({p.a, p.b}); });
}

TEST(litmus_message_passing, relaxed_flag_hands_nothing_over) {
  EXPECT_THAT(message_passing(
                  [](place& p) {
                    p.x.store(1, relaxed);
                    p.y.store(1, relaxed);
                  },
                  [](place& p) {
                    p.a = p.y.load(relaxed);
                    p.b = p.x.load(relaxed);
                  }),
              ElementsAre("00", "01", "10", "11"));
}

struct half {
  const char* name;
  thread run;
  bool orders;
};

TEST(litmus_message_passing, every_pairing_of_orders_and_fences) {
  const std::vector<half> senders = {
      {"release store",
       [](place& p) {
         p.x.store(1, relaxed);
         p.y.store(1, release);
       },
       true},
      {"seq_cst store",
       [](place& p) {
         p.x.store(1, relaxed);
         p.y.store(1, seq_cst);
       },
       true},
      {"release exchange",
       [](place& p) {
         p.x.store(1, relaxed);
         p.y.exchange(1, release);
       },
       true},
      {"release fence",
       [](place& p) {
         p.x.store(1, relaxed);
         fence(release);
         p.y.store(1, relaxed);
       },
       true},
      {"acq_rel fence",
       [](place& p) {
         p.x.store(1, relaxed);
         fence(acq_rel);
         p.y.store(1, relaxed);
       },
       true},
      {"seq_cst fence",
       [](place& p) {
         p.x.store(1, relaxed);
         fence(seq_cst);
         p.y.store(1, relaxed);
       },
       true},
      {"acquire fence",
       [](place& p) {
         p.x.store(1, relaxed);
         fence(acquire);
         p.y.store(1, relaxed);
       },
       false},
      {"release fence after both stores",
       [](place& p) {
         p.x.store(1, relaxed);
         p.y.store(1, relaxed);
         fence(release);
       },
       false},
      {"relaxed exchange",
       [](place& p) {
         p.x.store(1, relaxed);
         p.y.exchange(1, relaxed);
       },
       false},
  };
  const std::vector<half> receivers = {
      {"acquire load",
       [](place& p) {
         p.a = p.y.load(acquire);
         p.b = p.x.load(relaxed);
       },
       true},
      {"seq_cst load",
       [](place& p) {
         p.a = p.y.load(seq_cst);
         p.b = p.x.load(relaxed);
       },
       true},
      {"acquire fence",
       [](place& p) {
         p.a = p.y.load(relaxed);
         fence(acquire);
         p.b = p.x.load(relaxed);
       },
       true},
      {"acq_rel fence",
       [](place& p) {
         p.a = p.y.load(relaxed);
         fence(acq_rel);
         p.b = p.x.load(relaxed);
       },
       true},
      {"seq_cst fence",
       [](place& p) {
         p.a = p.y.load(relaxed);
         fence(seq_cst);
         p.b = p.x.load(relaxed);
       },
       true},
      {"release fence",
       [](place& p) {
         p.a = p.y.load(relaxed);
         fence(release);
         p.b = p.x.load(relaxed);
       },
       false},
      {"acquire fence before both loads",
       [](place& p) {
         fence(acquire);
         p.a = p.y.load(relaxed);
         p.b = p.x.load(relaxed);
       },
       false},
  };
  for (const half& send : senders) {
    for (const half& receive : receivers) {
      SCOPED_TRACE(std::string(send.name) + ", " + receive.name);
      const outcomes seen = message_passing(send.run, receive.run);
      if (send.orders && receive.orders) {
        EXPECT_THAT(seen, ElementsAre("00", "01", "11"));
      } else {
        EXPECT_THAT(seen, ElementsAre("00", "01", "10", "11"));
      }
    }
  }
}

TEST(litmus_message_passing, order_on_the_message_does_not_help) {
  const auto receive = [](place& p) {
    p.a = p.y.load(relaxed);
    p.b = p.x.load(seq_cst);
  };
  const auto send = [](place& p) {
    p.x.store(1, relaxed);
    p.y.store(1, release);
  };
  EXPECT_THAT(message_passing(send, receive), ElementsAre("00", "01", "10", "11"));
}

TEST(litmus_message_passing, the_total_order_follows_the_execution) {
  // "10" is allowed by the standard, where the load may come before the fence in the total order,
  // and not modelled: here the order of execution is the total order.
  const auto seen = message_passing(
      [](place& p) {
        p.x.store(1, relaxed);
        fence(seq_cst);
        p.y.store(1, relaxed);
      },
      [](place& p) {
        p.a = p.y.load(relaxed);
        p.b = p.x.load(seq_cst);
      });
  EXPECT_THAT(seen, ElementsAre("00", "01", "11"));
}

// Store buffering: each thread writes its own location and reads the other's.

outcomes store_buffering(const thread& left, const thread& right) {
  return run({left, right}, [](place& p) { return digits({p.a, p.b}); });
}

thread left_of_dekker(order write, order read) {
  return [=](place& p) {
    p.x.store(1, write);
    p.a = p.y.load(read);
  };
}
thread right_of_dekker(order write, order read) {
  return [=](place& p) {
    p.y.store(1, write);
    p.b = p.x.load(read);
  };
}
thread left_fenced(order between) {
  return [=](place& p) {
    p.x.store(1, relaxed);
    fence(between);
    p.a = p.y.load(relaxed);
  };
}
thread right_fenced(order between) {
  return [=](place& p) {
    p.y.store(1, relaxed);
    fence(between);
    p.b = p.x.load(relaxed);
  };
}

TEST(litmus_store_buffering, both_may_miss_without_a_total_order) {
  const auto all = ElementsAre("00", "01", "10", "11");
  EXPECT_THAT(store_buffering(left_of_dekker(relaxed, relaxed), right_of_dekker(relaxed, relaxed)),
              all);
  EXPECT_THAT(store_buffering(left_of_dekker(release, acquire), right_of_dekker(release, acquire)),
              all);
  EXPECT_THAT(store_buffering(left_of_dekker(seq_cst, seq_cst), right_of_dekker(release, acquire)),
              all);
  EXPECT_THAT(store_buffering(left_of_dekker(seq_cst, acquire), right_of_dekker(seq_cst, acquire)),
              all);
  EXPECT_THAT(store_buffering(left_of_dekker(release, seq_cst), right_of_dekker(release, seq_cst)),
              all);
  EXPECT_THAT(store_buffering(left_fenced(acq_rel), right_fenced(acq_rel)), all);
  EXPECT_THAT(store_buffering(left_fenced(seq_cst), right_fenced(acq_rel)), all);
  EXPECT_THAT(store_buffering(left_fenced(seq_cst), right_of_dekker(release, acquire)), all);
}

TEST(litmus_store_buffering, one_sees_the_other_in_a_total_order) {
  const auto one_sees = ElementsAre("01", "10", "11");
  EXPECT_THAT(store_buffering(left_of_dekker(seq_cst, seq_cst), right_of_dekker(seq_cst, seq_cst)),
              one_sees);
  EXPECT_THAT(store_buffering(left_fenced(seq_cst), right_fenced(seq_cst)), one_sees);
  // An access and a fence.
  EXPECT_THAT(store_buffering(left_of_dekker(seq_cst, seq_cst), right_fenced(seq_cst)), one_sees);
  EXPECT_THAT(store_buffering(left_fenced(seq_cst), right_of_dekker(seq_cst, seq_cst)), one_sees);
}

thread left_lightly_fenced() {
  return [](place& p) {
    p.x.store(1, relaxed);
    light_fence();
    p.a = p.y.load(relaxed);
  };
}
thread right_lightly_fenced() {
  return [](place& p) {
    p.y.store(1, relaxed);
    light_fence();
    p.b = p.x.load(relaxed);
  };
}
thread right_heavily_fenced() {
  return [](place& p) {
    p.y.store(1, relaxed);
    static_cast<void>(heavy_fence());
    p.b = p.x.load(relaxed);
  };
}

TEST(litmus_store_buffering, a_light_fence_meets_heavy_ones_alone) {
  const auto one_sees = ElementsAre("01", "10", "11");
  const auto all = ElementsAre("00", "01", "10", "11");
  EXPECT_THAT(store_buffering(left_lightly_fenced(), right_heavily_fenced()), one_sees);
  EXPECT_THAT(store_buffering(left_lightly_fenced(), right_lightly_fenced()), all);
  EXPECT_THAT(store_buffering(left_lightly_fenced(), right_fenced(seq_cst)), all);
  // A heavy one is a full one, too, and helps nobody who has none.
  EXPECT_THAT(store_buffering(left_fenced(seq_cst), right_heavily_fenced()), one_sees);
  EXPECT_THAT(store_buffering(left_of_dekker(relaxed, relaxed), right_heavily_fenced()), all);
}

TEST(litmus_store_buffering, a_light_fence_before_a_seq_cst_access) {
  // The total order of seq_cst accesses reaches the light side only by a heavy fence.
  EXPECT_THAT(store_buffering(left_lightly_fenced(), right_of_dekker(seq_cst, seq_cst)),
              ElementsAre("00", "01", "10", "11"));
}

TEST(litmus_store_buffering, an_exchange_that_succeeds_is_sequential) {
  const auto claim = [](heddle::prim::atomic<int>& mine, heddle::prim::atomic<int>& other,
                        int& read) {
    int expected = 0;
    mine.compare_exchange_strong(expected, 1, seq_cst, relaxed);
    read = other.load(seq_cst);
  };
  EXPECT_THAT(store_buffering([&](place& p) { claim(p.x, p.y, p.a); },
                              [&](place& p) { claim(p.y, p.x, p.b); }),
              ElementsAre("01", "10", "11"));
}

TEST(litmus_store_buffering, an_exchange_that_fails_is_what_its_second_order_says) {
  // The exchange reads the other's location and fails, whatever it reads.
  const auto look = [](heddle::prim::atomic<int>& mine, heddle::prim::atomic<int>& other, int& read,
                       order failure) {
    mine.store(1, seq_cst);
    read = 7;
    other.compare_exchange_strong(read, 7, seq_cst, failure);
  };
  EXPECT_THAT(store_buffering([&](place& p) { look(p.x, p.y, p.a, relaxed); },
                              [&](place& p) { look(p.y, p.x, p.b, relaxed); }),
              ElementsAre("00", "01", "10", "11"));
  EXPECT_THAT(store_buffering([&](place& p) { look(p.x, p.y, p.a, seq_cst); },
                              [&](place& p) { look(p.y, p.x, p.b, seq_cst); }),
              ElementsAre("01", "10", "11"));
}

// Load buffering: each thread reads before the other writes. "11" is allowed by the standard for
// relaxed accesses, and not modelled.

TEST(litmus_load_buffering, values_never_come_from_the_future) {
  for (const order read : {relaxed, acquire, seq_cst}) {
    const auto seen = run({[=](place& p) {
                             p.a = p.y.load(read);
                             p.x.store(1, relaxed);
                           },
                           [=](place& p) {
                             p.b = p.x.load(read);
                             p.y.store(1, relaxed);
                           }},
                          [](place& p) { return digits({p.a, p.b}); });
    EXPECT_THAT(seen, ElementsAre("00", "01", "10"));
  }
}

// Independent reads of independent writes: do two readers agree on the order of two writes?

outcomes independent_reads(order write, order read, bool fenced) {
  return run(
      {[=](place& p) { p.x.store(1, write); }, [=](place& p) { p.y.store(1, write); },
       [=](place& p) {
         p.a = p.x.load(read);
         if (fenced) fence(seq_cst);
         p.b = p.y.load(read);
       },
       [=](place& p) {
         p.c = p.y.load(read);
         if (fenced) fence(seq_cst);
         p.d = p.x.load(read);
       }},
      [](place& p) { return digits({p.a, p.b, p.c, p.d}); }, 3);
}

TEST(litmus_independent_reads, readers_may_disagree) {
  EXPECT_EQ(independent_reads(relaxed, relaxed, false).size(), 16u);
  EXPECT_EQ(independent_reads(release, acquire, false).size(), 16u);
  EXPECT_EQ(independent_reads(seq_cst, acquire, false).size(), 16u);
}

TEST(litmus_independent_reads, readers_agree_in_a_total_order) {
  for (const auto& seen :
       {independent_reads(seq_cst, seq_cst, false), independent_reads(relaxed, relaxed, true)}) {
    EXPECT_EQ(seen.size(), 15u);
    EXPECT_EQ(seen.count("1010"), 0u);
  }
}

// 2+2W: both write both locations, in opposite order. "11" says that each one's first write is last
// in the modification order.

outcomes both_write_both(order o, bool fenced) {
  return run({[=](place& p) {
                p.x.store(1, o);
                if (fenced) fence(seq_cst);
                p.y.store(2, o);
              },
              [=](place& p) {
                p.y.store(1, o);
                if (fenced) fence(seq_cst);
                p.x.store(2, o);
              }},
             [](place& p) { return digits({last(p.x), last(p.y)}); });
}

TEST(litmus_two_plus_two_writes, modification_orders_are_independent) {
  EXPECT_THAT(both_write_both(relaxed, false), ElementsAre("11", "12", "21", "22"));
  EXPECT_THAT(both_write_both(release, false), ElementsAre("11", "12", "21", "22"));
}

TEST(litmus_two_plus_two_writes, a_total_order_binds_them) {
  EXPECT_THAT(both_write_both(seq_cst, false), ElementsAre("12", "21", "22"));
  EXPECT_THAT(both_write_both(relaxed, true), ElementsAre("12", "21", "22"));
}

}  // namespace
