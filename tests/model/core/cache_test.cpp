#include <heddle/data/cache.hpp>

#include <cstdint>
#include <optional>
#include <stdexcept>

#include <heddle/base/errors.hpp>
#include <heddle/prim/atomic.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::cache;

using part = heddle::detail::cache_part<int, int, std::equal_to<int>>;

constexpr std::uint64_t hash_of_one = 1;

heddle::detail::cache_limits room_for(std::uint64_t n) { return {.capacity = n}; }

// Hashes of the same place in the index.
std::uint64_t hash_at_one(int key) { return static_cast<std::uint64_t>(key) << 32 | 1; }
void put_at_one(part& p, int key, int value, heddle::detail::cache_time time = 0) {
  part::removed gone;
  p.keep(hash_at_one(key), key, value, 1, time, nullptr, gone);
}

// Fails when the leader wakes somebody before it has given the value, when it ends its computation
// in one step and keeps the value in another, and when a computation is begun although there is
// one.
TEST(CacheModel, OneComputesAndTheOtherWaits) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::cell<int> computed;
        const auto look = [&] {
          const int v = c.get_or_compute(1, [&] {
            computed.set(computed.get() + 1);
            return 7;
          });
          model::check(v == 7);
        };
        prim::thread other(look);
        look();
        other.join();
        model::check(computed.get() == 1);
      },
      model::options());
}

// Who gets the exception tries again. Fails when a computation that has failed wakes the first of
// those who wait and no more, when it does not end, and (for ever busy) when it leaves an edge of a
// waiter behind, which the next one to wait then follows.
TEST(CacheModel, AnExceptionReachesThoseWhoWait) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::cell<int> computed;
        int failures = 0;
        const auto look = [&] {
          for (;;) {
            try {
              const int v = c.get_or_compute(1, [&] {
                computed.set(computed.get() + 1);
                if (computed.get() == 1) throw std::runtime_error("the first");
                return 7;
              });
              model::check(v == 7);
              return;
            } catch (const std::runtime_error&) {
              ++failures;
            }
          }
        };
        prim::thread one(look);
        prim::thread other(look);
        look();
        one.join();
        other.join();
        model::check(failures >= 1 && computed.get() == 2);
      },
      in_two_parts{});
}

// Fails when nobody takes a cancelled computation over, when those behind the heir stay behind
// nobody, and when the heir is woken before it leads.
TEST(CacheModel, ACancelledLeaderHasAnHeir) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::cell<int> computed;
        int cancelled = 0;
        const auto look = [&] {
          try {
            const int v = c.get_or_compute(1, [&] {
              computed.set(computed.get() + 1);
              if (computed.get() == 1) throw heddle::cancelled();
              return 7;
            });
            model::check(v == 7);
          } catch (const heddle::cancelled&) {
            ++cancelled;
          }
        };
        prim::thread one(look);
        prim::thread other(look);
        look();
        one.join();
        other.join();
        model::check(cancelled == 1 && computed.get() == 2);
      },
      in_two_parts{});
}

// One who waits gives up, as a stop is requested. Fails when it stays in the queue, and when it
// leaves the queue although the leader has taken it.
TEST(CacheModel, AWaitIsGivenUp) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::stop_source stop;
        prim::cell<int> computed;
        const auto f = [&] {
          computed.set(computed.get() + 1);
          return 7;
        };
        prim::thread leader([&] { model::check(c.get_or_compute(1, f) == 7); });
        prim::thread stopper([&] { stop.request_stop(); });
        const std::optional<int> v = c.get_or_compute(1, f, stop.get_token());
        model::check(!v || *v == 7);
        leader.join();
        stopper.join();
        model::check(computed.get() == 1);
      },
      in_two_parts{});
}

// The eldest waiter gives up while the leader hands over. Fails when who has given up becomes the
// heir, and when who has become the heir gives up.
TEST(CacheModel, TheHeirMayHaveGivenUp) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::stop_source stop;
        prim::thread leader([&] {
          try {
            c.get_or_compute(1, []() -> int { throw heddle::cancelled(); });
          } catch (const heddle::cancelled&) {
          }
        });
        prim::thread stopper([&] { stop.request_stop(); });
        const std::optional<int> v = c.get_or_compute(1, [] { return 7; }, stop.get_token());
        model::check(!v || *v == 7);
        leader.join();
        stopper.join();
      },
      in_two_parts{});
}

// Two computations need each other's values, and one of them gives up. Fails when its edge stays.
TEST(CacheModel, AWaitThatWasGivenUpClosesNoCircle) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::stop_source stop;
        prim::atomic<bool> gave_up{false};
        prim::thread other([&] {
          c.get_or_compute(2, [&] {
            try {
              if (!c.get_or_compute(1, [] { return 7; }, stop.get_token())) {
                gave_up.store(true, prim::release);
              }
            } catch (const heddle::recursive_computation&) {
            }
            return 20;
          });
        });
        c.get_or_compute(1, [&] {
          stop.request_stop();
          const bool alone = gave_up.load(prim::acquire);
          try {
            c.get_or_compute(2, [] { return 20; });
          } catch (const heddle::recursive_computation&) {
            model::check(!alone, "nobody waits for this thread any more");
          }
          return 7;
        });
        other.join();
      },
      in_two_parts{});
}

// Fails when an erase does not drop the computation that is under way, and when a dropped result is
// kept all the same.
TEST(CacheModel, WhatIsErasedMeanwhileIsNotKept) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::atomic<int> truth{1};
        prim::thread loader(
            [&] { c.get_or_compute(1, [&] { return truth.load(prim::relaxed); }); });
        truth.store(2, prim::relaxed);
        c.erase(1);
        loader.join();
        const std::optional<int> v = c.get(1);
        model::check(!v || *v == 2, "the value before the erase is gone");
      },
      model::options());
}

// An erase, one who waits, and a leader that is cancelled. Fails when the heir of a dropped
// computation takes its place beside a new one.
TEST(CacheModel, AnEraseAgainstACancellation) {
  holds(
      [] {
        cache<int, int> c(4);
        prim::thread first([&] {
          try {
            c.get_or_compute(1, []() -> int { throw heddle::cancelled(); });
          } catch (const heddle::cancelled&) {
          }
        });
        prim::thread second([&] { model::check(c.get_or_compute(1, [] { return 7; }) == 7); });
        c.erase(1);
        first.join();
        second.join();
      },
      in_two_parts{});
}

// Two computations need each other's values. Fails (all wait) when attach() does not look for the
// circle.
TEST(CacheModel, ACircleIsFound) {
  holds(
      [] {
        cache<int, int> c(4);
        cache<int, int> d(4);
        prim::atomic<int> told{0};
        const auto look = [&](cache<int, int>& mine, cache<int, int>& others) {
          try {
            mine.get_or_compute(1, [&] { return others.get_or_compute(1, [] { return 7; }); });
          } catch (const heddle::recursive_computation&) {
            told.fetch_add(1, prim::relaxed);
          }
        };
        prim::thread other([&] { look(d, c); });
        look(c, d);
        other.join();
        const int n = told.load(prim::relaxed);
        model::check(n == 0 || n == 2, "who finds it fails, and who waits for that one");
      },
      in_two_parts{});
}

// A look without the lock against a put in the same place. Fails when the words of a value are
// stored or loaded relaxed, when the version is not looked at again, and when it becomes even by a
// relaxed store or does not become odd.
TEST(CacheModel, ACopyIsNeverTorn) {
  holds([] {
    struct twins {
      std::uint64_t a;
      std::uint64_t b;
    };
    heddle::detail::cache_part<int, twins, std::equal_to<int>> p(room_for(2), {});
    const auto put = [&p](std::uint64_t n) {
      int key = 1;
      twins value{n, n};
      heddle::detail::cache_table<int, twins, std::equal_to<int>>::removed gone;
      p.keep(hash_of_one, key, value, 1, 0, nullptr, gone);
    };
    put(1);
    prim::thread writer([&] { put(2); });
    heddle::detail::cache_table<int, twins, std::equal_to<int>>::removed gone;
    const auto v = p.look_up(hash_of_one, 1, 0, gone);
    model::check(v && v->a == v->b, "there all the time, and of one piece");
    writer.join();
  });
}

// An entry is evicted, and another key gets its memory, beneath a look without the lock. Fails as
// the one before.
TEST(CacheModel, AnEntryIsUsedAgainBeneathALook) {
  holds([] {
    part p(room_for(1), {});
    const auto put = [&p](int key) { put_at_one(p, key, 10 * key); };
    put(1);
    prim::thread writer([&] {
      put(2);
      put(3);
    });
    part::removed gone;
    const auto v = p.look_up(hash_at_one(1), 1, 0, gone);
    model::check(!v || *v == 10);
    writer.join();
  });
}

// The same, and the new key's value is replaced in its place, of which the version tells nothing:
// whoever has read the former key does not believe it. Fails when the word is stored or loaded
// relaxed.
TEST(CacheModel, AWordThatChangesAtOnceIsOfItsKey) {
  holds([] {
    part p(room_for(1), {});
    const auto put = [&p](int key, int value) { put_at_one(p, key, value); };
    put(1, 10);
    prim::thread writer([&] {
      put(1, 11);
      put(2, 20);
      put(3, 30);
      put(3, 31);
    });
    part::removed gone;
    const auto v = p.look_up(hash_at_one(1), 1, 0, gone);
    model::check(!v || *v == 10 || *v == 11);
    writer.join();
  });
}

// An entry leaves, and the next in the index moves up, beneath a look for that one. Fails when an
// erase does not make the version odd.
TEST(CacheModel, AnEntryThatMovesUpIsFound) {
  holds([] {
    part p(room_for(4), {});
    put_at_one(p, 1, 10);
    put_at_one(p, 2, 20);
    prim::thread other([&] {
      part::removed gone;
      p.erase(hash_at_one(1), 1, 0, gone);
    });
    part::removed gone;
    model::check(p.look_up(hash_at_one(2), 2, 0, gone) == 20, "there all the time");
    other.join();
  });
}

// Where somebody is told of what leaves, a value is replaced by another entry. Fails when such a
// replacement does not make the version odd.
TEST(CacheModel, AReplacementThatIsToldIsNoticed) {
  holds([] {
    part p({.capacity = 4, .told = true}, {});
    const auto put = [&p](int key, int value) {
      part::removed gone;
      p.keep(hash_at_one(key), key, value, 1, 0, nullptr, gone);
      p.settle(gone, [](int, int, heddle::removal_cause) {});
    };
    put(1, 10);
    put(2, 20);
    prim::thread writer([&] {
      put(1, 11);
      put(2, 21);  // takes the memory that the first had
    });
    part::removed gone;
    const auto v = p.look_up(hash_at_one(1), 1, 0, gone);
    model::check(v == 10 || v == 11);
    writer.join();
  });
}

// Where values expire, a value is as old as it is, and not as its successor. Fails when such a
// replacement does not make the version odd.
TEST(CacheModel, AnExpiredValueIsNotMadeYoung) {
  holds([] {
    part p({.capacity = 1, .after_write = 100}, {});
    put_at_one(p, 1, 10);
    prim::thread writer([&] { put_at_one(p, 1, 11, 99); });
    part::removed gone;
    const auto v = p.look_up(hash_at_one(1), 1, 100, gone);
    model::check(!v || v == 11);
    writer.join();
  });
}

// The fifth key makes the index grow beneath a look for one of the four that are there, all of
// which move. Fails when a put does not make the version odd before that, and when the new index is
// published by a relaxed store.
TEST(CacheModel, TheIndexGrowsBeneathALook) {
  holds([] {
    part p(room_for(8), {});
    const auto hash_of = [](int key) { return static_cast<std::uint64_t>(8 * key + 1); };
    const auto put = [&](int key) {
      part::removed gone;
      int value = 10 * key;
      p.keep(hash_of(key), key, value, 1, 0, nullptr, gone);
    };
    for (int key = 1; key <= 4; ++key) put(key);
    prim::thread writer([&] { put(5); });
    part::removed gone;
    model::check(p.look_up(hash_of(4), 4, 0, gone) == 40, "there all the time");
    writer.join();
    model::check(p.look_up(hash_of(5), 5, 0, gone) == 50);
  });
}

// The third entry, and what is known of its expiry, lies in a piece that is added beneath a look
// for it. Fails when a slot of the index is stored or loaded relaxed.
TEST(CacheModel, APieceIsAddedBeneathALook) {
  holds([] {
    part p({.capacity = 8, .after_write = 100}, {});
    put_at_one(p, 1, 10);
    put_at_one(p, 2, 20);
    prim::thread writer([&] { put_at_one(p, 3, 30); });
    part::removed gone;
    const auto v = p.look_up(hash_at_one(3), 3, 1, gone);
    model::check(!v || v == 30);
    model::check(p.look_up(hash_at_one(1), 1, 1, gone) == 10, "there all the time");
    writer.join();
  });
}

}  // namespace
