// Coherence, release sequences, and the atomicity of read-modify-writes.
#include <gmock/gmock.h>

#include "litmus/litmus.hpp"

namespace {

using namespace litmus;
using heddle::prim::fence;
using testing::ElementsAre;

TEST(litmus_coherence, two_reads_never_go_back) {
  EXPECT_THAT(run({[](place& p) { p.x.store(1, relaxed); },
                   [](place& p) {
                     p.a = p.x.load(relaxed);
                     p.b = p.x.load(relaxed);
                   }},
                  [](place& p) { return digits({p.a, p.b}); }),
              ElementsAre("00", "01", "11"));
}

TEST(litmus_coherence, two_readers_agree_on_the_order_of_two_writers) {
  const auto seen = run(
      {[](place& p) { p.x.store(1, relaxed); }, [](place& p) { p.x.store(2, relaxed); },
       [](place& p) {
         p.a = p.x.load(relaxed);
         p.b = p.x.load(relaxed);
       },
       [](place& p) {
         p.c = p.x.load(relaxed);
         p.d = p.x.load(relaxed);
       }},
      [](place& p) { return digits({p.a, p.b, p.c, p.d}); }, 3);
  EXPECT_EQ(seen.count("1221"), 0u);
  EXPECT_EQ(seen.count("2112"), 0u);
  for (const char* allowed : {"0000", "1212", "2121", "0112", "1200", "2200", "0021", "1112"}) {
    EXPECT_EQ(seen.count(allowed), 1u) << allowed;
  }
}

TEST(litmus_coherence, a_thread_sees_its_own_writes_in_order) {
  EXPECT_THAT(run({[](place& p) {
                     p.x.store(1, relaxed);
                     p.x.store(2, relaxed);
                   },
                   [](place& p) { p.a = p.x.load(relaxed); }},
                  [](place& p) { return digits({p.a, last(p.x)}); }),
              ElementsAre("02", "12", "22"));
}

TEST(litmus_coherence, a_write_comes_after_what_its_thread_has_read) {
  // a: what the left thread read before its write of 1.
  EXPECT_THAT(run({[](place& p) {
                     p.a = p.x.load(relaxed);
                     p.x.store(1, relaxed);
                   },
                   [](place& p) { p.x.store(2, relaxed); }},
                  [](place& p) { return digits({p.a, last(p.x)}); }),
              ElementsAre("01", "02", "21"));
}

TEST(litmus_coherence, a_read_comes_after_what_its_thread_has_written) {
  EXPECT_THAT(run({[](place& p) {
                     p.x.store(1, relaxed);
                     p.a = p.x.load(relaxed);
                   },
                   [](place& p) { p.x.store(2, relaxed); }},
                  [](place& p) { return digits({p.a, last(p.x)}); }),
              ElementsAre("11", "12", "22"));
}

TEST(litmus_coherence, happens_before_hides_older_stores) {
  // The left thread writes x twice and hands over by y; a: the flag, b: x as read.
  EXPECT_THAT(run({[](place& p) {
                     p.x.store(1, relaxed);
                     p.x.store(2, relaxed);
                     p.y.store(1, release);
                   },
                   [](place& p) {
                     p.a = p.y.load(acquire);
                     p.b = p.x.load(relaxed);
                   }},
                  [](place& p) { return digits({p.a, p.b}); }),
              ElementsAre("00", "01", "02", "12"));
}

// Release sequences: y is the message, x the flag. a: the flag as read, b: the message.

outcomes release_sequence(const thread& head, const thread& middle) {
  return run({head, middle,
              [](place& p) {
                p.a = p.x.load(acquire);
                p.b = p.y.load(relaxed);
              }},
             [](place& p) { return digits({p.a, p.b}); });
}

void send(place& p) {
  p.y.store(1, relaxed);
  p.x.store(1, release);
}

TEST(litmus_release_sequence, a_read_modify_write_continues_it) {
  const auto seen = release_sequence(&send, [](place& p) { p.x.fetch_add(2, relaxed); });
  // 3 is 2 added to the 1 of the head.
  EXPECT_THAT(seen, ElementsAre("00", "01", "11", "20", "21", "31"));
}

TEST(litmus_release_sequence, a_chain_of_exchanges_continues_it) {
  const auto seen = release_sequence(&send, [](place& p) {
    int expected = 1;
    if (p.x.compare_exchange_strong(expected, 2, relaxed)) {
      expected = 2;
      p.x.compare_exchange_strong(expected, 3, relaxed);
    }
  });
  EXPECT_THAT(seen, ElementsAre("00", "01", "11", "21", "31"));
}

TEST(litmus_release_sequence, a_store_of_another_thread_ends_it) {
  const auto seen = release_sequence(&send, [](place& p) { p.x.store(2, relaxed); });
  EXPECT_THAT(seen, ElementsAre("00", "01", "11", "20", "21"));
}

TEST(litmus_release_sequence, a_later_store_of_its_own_thread_ends_it) {
  // Since C++20; before, the same thread's stores continued it.
  const auto seen = release_sequence(
      [](place& p) {
        send(p);
        p.x.store(2, relaxed);
      },
      [](place&) {});
  EXPECT_THAT(seen, ElementsAre("00", "01", "11", "20", "21"));
}

TEST(litmus_release_sequence, a_fence_makes_any_later_store_a_head) {
  const auto seen = release_sequence(
      [](place& p) {
        p.y.store(1, relaxed);
        fence(release);
        p.x.store(1, relaxed);
        p.x.store(2, relaxed);
      },
      [](place&) {});
  EXPECT_THAT(seen, ElementsAre("00", "01", "11", "21"));
}

// Read-modify-writes.

TEST(litmus_read_modify_write, none_is_lost) {
  EXPECT_THAT(run({[](place& p) { p.a = p.x.fetch_add(1, relaxed); },
                   [](place& p) { p.b = p.x.fetch_add(1, relaxed); },
                   [](place& p) { p.c = p.x.fetch_add(1, relaxed); }},
                  [](place& p) { return digits({p.a, p.b, p.c, last(p.x)}); }),
              ElementsAre("0123", "0213", "1023", "1203", "2013", "2103"));
}

TEST(litmus_read_modify_write, one_of_two_exchanges_wins) {
  const auto claim = [](place& p, int& mine) {
    int expected = 0;
    mine = p.x.compare_exchange_strong(expected, 1, relaxed) ? 1 : 0;
  };
  EXPECT_THAT(run({[&](place& p) { claim(p, p.a); }, [&](place& p) { claim(p, p.b); }},
                  [](place& p) { return digits({p.a, p.b, last(p.x)}); }),
              ElementsAre("011", "101"));
}

TEST(litmus_read_modify_write, a_store_never_comes_between_its_halves) {
  // If the addition read 0 and the store is last, the addition came first; if it read the store's
  // 5, it is last itself. "x = 1 at the end, though the store came between" would be 01.
  EXPECT_THAT(run({[](place& p) { p.a = p.x.fetch_add(1, relaxed); },
                   [](place& p) { p.x.store(5, relaxed); }},
                  [](place& p) { return digits({p.a, last(p.x)}); }),
              ElementsAre("05", "56"));
}

TEST(litmus_read_modify_write, may_read_what_others_no_longer_would) {
  // As 2+2W, with an addition as one of the writes: it may go before a store that ran earlier.
  EXPECT_THAT(run({[](place& p) {
                     p.x.store(5, relaxed);
                     p.a = p.y.fetch_add(1, relaxed);
                   },
                   [](place& p) {
                     p.y.store(5, relaxed);
                     p.b = p.x.fetch_add(1, relaxed);
                   }},
                  [](place& p) { return digits({p.a, p.b}); }),
              ElementsAre("00", "05", "50", "55"));
}

TEST(litmus_read_modify_write, a_weak_exchange_may_fail_for_nothing) {
  heddle::model::options o;
  for (const unsigned bound : {0u, 1u}) {
    o.spurious_failures = bound;
    outcomes seen;
    const auto result = heddle::model::explore(o, [&] {
      heddle::prim::atomic<int> x{0};
      int expected = 0;
      const bool done = x.compare_exchange_weak(expected, 1, relaxed);
      seen.insert(digits({done ? 1 : 0, expected}));
    });
    EXPECT_TRUE(result.complete) << result.describe();
    if (bound == 0) {
      EXPECT_THAT(seen, ElementsAre("10"));
    } else {
      EXPECT_THAT(seen, ElementsAre("00", "10"));
    }
  }
}

}  // namespace
