// Three threads, or an unequal pair: what is handed on from thread to thread, and what fences order
// when the two sides do different things.
#include <gmock/gmock.h>

#include "litmus/litmus.hpp"

namespace {

using namespace litmus;
using heddle::prim::fence;
using testing::ElementsAre;

// Write-to-read causality: a: x as the middle thread read it; b, c: y and x as the last one did.
// "110" says that a hand-over was itself not handed on.

outcomes write_to_read(order hand_over, order read) {
  return run({[](place& p) { p.x.store(1, relaxed); },
              [=](place& p) {
                p.a = p.x.load(relaxed);
                p.y.store(1, hand_over);
              },
              [=](place& p) {
                p.b = p.y.load(read);
                p.c = p.x.load(relaxed);
              }},
             [](place& p) { return digits({p.a, p.b, p.c}); });
}

TEST(litmus_causality, what_was_read_is_handed_on) {
  EXPECT_EQ(write_to_read(relaxed, relaxed).count("110"), 1u);
  EXPECT_EQ(write_to_read(release, relaxed).count("110"), 1u);
  EXPECT_EQ(write_to_read(relaxed, acquire).count("110"), 1u);
  EXPECT_THAT(write_to_read(release, acquire),
              ElementsAre("000", "001", "010", "011", "100", "101", "111"));
  EXPECT_THAT(write_to_read(seq_cst, seq_cst),
              ElementsAre("000", "001", "010", "011", "100", "101", "111"));
}

// A message that goes by way of a third thread. a: whether that thread passed it on; b, c: whether
// the last one saw that, and the message.

TEST(litmus_causality, hand_overs_form_chains) {
  const auto chain = [](order middle) {
    return run({[](place& p) {
                  p.x.store(1, relaxed);
                  p.y.store(1, release);
                },
                [middle](place& p) {
                  // y goes from 1 to 2 only by this thread.
                  int expected = 1;
                  p.a = p.y.compare_exchange_strong(expected, 2, middle, relaxed) ? 1 : 0;
                },
                [](place& p) {
                  p.b = p.y.load(acquire) == 2 ? 1 : 0;
                  p.c = p.x.load(relaxed);
                }},
               [](place& p) { return digits({p.a, p.b, p.c}); });
  };
  // Even a relaxed exchange continues the first thread's release sequence.
  for (const order middle : {relaxed, acquire, release, acq_rel, seq_cst}) {
    EXPECT_THAT(chain(middle), ElementsAre("000", "001", "100", "101", "111"));
  }
}

// Two writes against a write and a read (R): a: x as read by the right thread, then the last y.
// "02" says that the right thread's write came last, and yet it missed the left one's first.

outcomes writes_against_read(order write, order read, bool fenced) {
  return run({[=](place& p) {
                p.x.store(1, write);
                if (fenced) fence(seq_cst);
                p.y.store(1, write);
              },
              [=](place& p) {
                p.y.store(2, write);
                if (fenced) fence(seq_cst);
                p.a = p.x.load(read);
              }},
             [](place& p) { return digits({p.a, last(p.y)}); });
}

TEST(litmus_causality, writes_against_a_read) {
  EXPECT_THAT(writes_against_read(relaxed, relaxed, false), ElementsAre("01", "02", "11", "12"));
  EXPECT_THAT(writes_against_read(release, acquire, false), ElementsAre("01", "02", "11", "12"));
  EXPECT_THAT(writes_against_read(seq_cst, seq_cst, false), ElementsAre("01", "11", "12"));
  EXPECT_THAT(writes_against_read(relaxed, relaxed, true), ElementsAre("01", "11", "12"));
}

// Two writes against a read and a write (S): a: y as read by the right thread, then the last x.
// "12" says that a write which follows the reading of the flag came before what the flag stands
// for.

outcomes writes_against_write(order flag, order read) {
  return run({[=](place& p) {
                p.x.store(2, relaxed);
                p.y.store(1, flag);
              },
              [=](place& p) {
                p.a = p.y.load(read);
                p.x.store(1, relaxed);
              }},
             [](place& p) { return digits({p.a, last(p.x)}); });
}

TEST(litmus_causality, writes_against_a_write) {
  EXPECT_THAT(writes_against_write(relaxed, relaxed), ElementsAre("01", "02", "11", "12"));
  EXPECT_THAT(writes_against_write(release, relaxed), ElementsAre("01", "02", "11", "12"));
  EXPECT_THAT(writes_against_write(relaxed, acquire), ElementsAre("01", "02", "11", "12"));
  EXPECT_THAT(writes_against_write(release, acquire), ElementsAre("01", "02", "11"));
}

// Fences order what happened before them, also in other threads: the left thread takes part in the
// total order on behalf of the one whose store it has acquired.

TEST(litmus_causality, a_fence_covers_what_was_acquired) {
  const auto seen = run({[](place& p) { p.x.store(1, release); },
                         [](place& p) {
                           p.a = p.x.load(acquire);
                           fence(seq_cst);
                           p.b = p.y.load(relaxed);
                         },
                         [](place& p) {
                           p.y.store(1, relaxed);
                           fence(seq_cst);
                           p.c = p.x.load(relaxed);
                         }},
                        [](place& p) { return digits({p.a, p.b, p.c}); });
  // a = 1, b = 0: the second thread's fence came first, so the third thread must see x.
  EXPECT_THAT(seen, ElementsAre("000", "001", "010", "011", "101", "110", "111"));
}

TEST(litmus_causality, fences_give_no_happens_before) {
  // Both fenced, x read as 1: still a relaxed hand-over, and the plain write races with the read.
  const auto r = heddle::model::explore({}, [] {
    heddle::prim::atomic<int> x{0};
    heddle::prim::atomic<int> y{0};
    int plain_seen = -1;
    heddle::prim::thread other([&] {
      y.store(1, relaxed);
      x.store(1, relaxed);
      fence(seq_cst);
    });
    fence(seq_cst);
    if (x.load(relaxed) == 1) plain_seen = y.load(relaxed);
    other.join();
    heddle::model::check(plain_seen != 0, "y was missed");
  });
  EXPECT_TRUE(r.failed) << r.describe();
}

}  // namespace
