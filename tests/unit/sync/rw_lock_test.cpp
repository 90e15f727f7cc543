#include <heddle/sync/rw_lock.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/thread_exit.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle_test::on_another_thread;
using testing::HasSubstr;

namespace prim = heddle::prim;

// Lets the tests speak of one lock from several threads without telling clang who holds it: what is
// tested here is the lock.
class heddle_lock {
 public:
  heddle_lock() = default;
  explicit heddle_lock(std::string_view name) : l_(name) {}

  void lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { l_.lock(); }
  bool lock(const std::stop_token& s) HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return l_.lock(s); }
  bool try_lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return l_.try_lock(); }
  template <class... A>
  bool try_lock_for(const A&... a) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return l_.try_lock_for(a...);
  }
  template <class... A>
  bool try_lock_until(const A&... a) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return l_.try_lock_until(a...);
  }
  void unlock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { l_.unlock(); }

  void lock_shared() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { l_.lock_shared(); }
  bool lock_shared(const std::stop_token& s) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return l_.lock_shared(s);
  }
  bool try_lock_shared() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return l_.try_lock_shared(); }
  template <class... A>
  bool try_lock_shared_for(const A&... a) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return l_.try_lock_shared_for(a...);
  }
  template <class... A>
  bool try_lock_shared_until(const A&... a) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return l_.try_lock_shared_until(a...);
  }
  void unlock_shared() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { l_.unlock_shared(); }

  heddle::rw_lock& get() { return l_; }

 private:
  heddle::rw_lock l_;
};

// A write, after which readers are counted instead of entering the table, and so many reads that
// the next ones enter it again.
template <class L>
void close_table(L& l) {
  l.lock();
  l.unlock();
}
template <class L>
void open_table(L& l) {
  for (int i = 0; i < 10'000; ++i) {
    l.lock_shared();
    l.unlock_shared();
  }
}

// What the standard asks of a SharedTimedMutex.
template <class L>
class standard_shared_timed_mutex : public testing::Test {};
using locks = testing::Types<std::shared_timed_mutex, heddle_lock>;
TYPED_TEST_SUITE(standard_shared_timed_mutex, locks);

TYPED_TEST(standard_shared_timed_mutex, has_one_writer) {
  TypeParam l;
  l.lock();
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_shared(); }));
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_for(1ms); }));
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_shared_for(1ms); }));
  l.unlock();
  EXPECT_TRUE(on_another_thread([&] {
    const bool got = l.try_lock();
    l.unlock();
    return got;
  }));
}

TYPED_TEST(standard_shared_timed_mutex, has_many_readers) {
  TypeParam l;
  for (const bool counted : {false, true}) {
    if (counted) close_table(l);
    l.lock_shared();
    EXPECT_TRUE(on_another_thread([&] {
      l.lock_shared();
      const bool wrote = l.try_lock();
      l.unlock_shared();
      return !wrote;
    }));
    EXPECT_TRUE(on_another_thread([&] {
      const bool got = l.try_lock_shared();
      l.unlock_shared();
      return got;
    }));
    EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
    EXPECT_FALSE(on_another_thread([&] { return l.try_lock_for(1ms); }));
    l.unlock_shared();
    EXPECT_TRUE(l.try_lock());
    l.unlock();
    open_table(l);
  }
}

TYPED_TEST(standard_shared_timed_mutex, gives_up_at_the_deadline_and_not_before) {
  TypeParam l;
  const auto gives_up = [&](auto attempt) {
    return on_another_thread([&] {
      const auto deadline = prim::clock::now() + 5ms;
      const bool got = attempt(deadline);
      EXPECT_GE(prim::clock::now(), deadline);
      return !got;
    });
  };
  l.lock();
  EXPECT_TRUE(gives_up([&](auto t) { return l.try_lock_until(t); }));
  EXPECT_TRUE(gives_up([&](auto t) { return l.try_lock_shared_until(t); }));
  l.unlock();
  l.lock_shared();
  EXPECT_TRUE(gives_up([&](auto t) { return l.try_lock_until(t); }));
  l.unlock_shared();
  EXPECT_TRUE(l.try_lock_until(prim::clock::now() + 1h));
  l.unlock();
  EXPECT_TRUE(l.try_lock_shared_until(prim::clock::now() + 1h));
  l.unlock_shared();
}

TYPED_TEST(standard_shared_timed_mutex, a_timeout_that_has_passed_still_takes_a_free_lock) {
  // Not an hour: where the machine has not been up for so long, the standard's lock is given a
  // point before its clock's begin, and says that it was taken.
  TypeParam l;
  EXPECT_TRUE(l.try_lock_for(-1ms));
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_for(-1ms); }));
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_shared_for(-1ms); }));
  l.unlock();
  EXPECT_TRUE(l.try_lock_shared_for(0s));
  l.unlock_shared();
  EXPECT_TRUE(l.try_lock_shared_until(prim::clock::now() - 1ms));
  l.unlock_shared();
}

TYPED_TEST(standard_shared_timed_mutex, works_with_the_standard_s_locks) {
  TypeParam a;
  TypeParam b;
  {
    const std::scoped_lock lock(a, b);
  }
  {
    const std::shared_lock one(a);
    const std::shared_lock other(b, 1h);
    EXPECT_TRUE(other.owns_lock());
  }
  std::unique_lock lock(a, std::try_to_lock);
  EXPECT_TRUE(lock.owns_lock());
  lock.unlock();
  std::shared_lock shared(a, std::defer_lock);
  EXPECT_TRUE(shared.try_lock_until(prim::clock::now()));
}

TYPED_TEST(standard_shared_timed_mutex, wakes_those_who_sleep) {
  const heddle_test::watchdog dog;
  TypeParam l;
  std::atomic<int> readers{0};
  int written = 0;  // plain: the lock guards it
  l.lock();
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 8; ++i) {
    sleepers.emplace_back([&, i] {
      if (i % 2 == 0) {
        l.lock();
        ++written;
        l.unlock();
      } else {
        l.lock_shared();
        EXPECT_GE(written, 0);
        ++readers;
        l.unlock_shared();
      }
    });
  }
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(written, 0);
  EXPECT_EQ(readers, 0);
  l.unlock();
  for (std::thread& t : sleepers) t.join();
  EXPECT_EQ(written, 4);
  EXPECT_EQ(readers, 4);
}

// A writer sleeps until the last reader has gone, whichever way that one reads.
TYPED_TEST(standard_shared_timed_mutex, a_writer_waits_for_the_readers_that_are_there) {
  const heddle_test::watchdog dog;
  TypeParam l;
  for (const bool counted : {false, true}) {
    if (counted) close_table(l);
    std::atomic<bool> written{false};
    l.lock_shared();
    std::thread writer([&] {
      l.lock();
      written = true;
      l.unlock();
    });
    std::this_thread::sleep_for(5ms);
    EXPECT_FALSE(written);
    l.unlock_shared();
    writer.join();
    EXPECT_TRUE(written);
    open_table(l);
  }
}

TEST(rw_lock, may_be_static) {
  static constinit heddle::rw_lock l;
  const heddle::read_guard held(l);
}

TEST(rw_lock, is_small) { EXPECT_LE(sizeof(heddle::rw_lock), 56U); }

TEST(rw_lock, no_reader_passes_a_writer_that_waits) {
  const heddle_test::watchdog dog;
  heddle_lock l;
  for (const bool counted : {false, true}) {
    if (counted) close_table(l);
    l.lock_shared();
    std::thread writer([&] {
      l.lock();
      l.unlock();
    });
    while (on_another_thread([&] {
      const bool got = l.try_lock_shared();
      if (got) l.unlock_shared();
      return got;
    })) {
    }
    EXPECT_FALSE(on_another_thread([&] { return l.try_lock_shared_for(2ms); }));
    l.unlock_shared();
    writer.join();
    EXPECT_TRUE(l.try_lock_shared());
    l.unlock_shared();
    open_table(l);
  }
}

// Two readers that always overlap keep no writer out, two writers that always overlap no reader.
TEST(rw_lock, starves_nobody) {
  const heddle_test::watchdog dog;
  for (const bool readers_crowd : {true, false}) {
    heddle_lock l;
    std::atomic<bool> over{false};
    std::atomic<int> turns{0};
    std::vector<std::thread> crowd;
    for (int i = 0; i < 3; ++i) {
      crowd.emplace_back([&] {
        while (!over) {
          readers_crowd ? l.lock_shared() : l.lock();
          std::this_thread::sleep_for(50us);
          readers_crowd ? l.unlock_shared() : l.unlock();
          ++turns;
        }
      });
    }
    while (turns < 10) std::this_thread::yield();
    for (int i = 0; i < 20; ++i) {
      readers_crowd ? l.lock() : l.lock_shared();
      readers_crowd ? l.unlock() : l.unlock_shared();
    }
    over = true;
    for (std::thread& t : crowd) t.join();
  }
}

// In the table there is room for a few locks of a thread, and one lock as often.
TEST(rw_lock, a_thread_reads_more_locks_than_its_row_has_slots) {
  constexpr std::size_t many = 2 * prim::limits::reader_slots + 1;
  std::vector<heddle_lock> all(many);
  for (const bool backwards : {false, true}) {
    for (heddle_lock& l : all) l.lock_shared();
    for (heddle_lock& l : all) {
      EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
    }
    for (std::size_t i = 0; i < many; ++i) {
      heddle_lock& l = all[backwards ? many - 1 - i : i];
      l.unlock_shared();
      EXPECT_TRUE(l.try_lock());
      l.unlock();
    }
    for (heddle_lock& l : all) open_table(l);
  }
}

TEST(rw_lock, a_thread_reads_one_lock_as_often_as_it_likes) {
  constexpr int often = 2 * int{prim::limits::reader_slots} + 1;
  heddle_lock l;
  for (int i = 0; i < often; ++i) l.lock_shared();
  for (int i = 0; i < often; ++i) {
    EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
    l.unlock_shared();
  }
  EXPECT_TRUE(l.try_lock());
  l.unlock();
}

TEST(rw_lock, reads_of_both_kinds_mix_on_one_thread) {
  heddle_lock l;
  l.lock_shared();                                                       // in the table
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock_for(1ms); }));  // closes it
  l.lock_shared();                                                       // counted
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
  l.unlock_shared();
  EXPECT_FALSE(on_another_thread([&] { return l.try_lock(); }));
  l.unlock_shared();
  EXPECT_TRUE(l.try_lock());
  l.unlock();
}

// More threads at once than the table has rows.
TEST(rw_lock, has_room_for_any_number_of_threads) {
#if HEDDLE_TSAN || HEDDLE_ASAN
  GTEST_SKIP() << "a thousand threads are too many for a sanitizer";
#endif
  const heddle_test::watchdog dog;
  heddle_lock l;
  std::atomic<bool> leave{false};
  std::atomic<unsigned> reading{0};
  std::vector<std::thread> threads;
  const auto read_and_stay = [&] {
    l.lock_shared();
    ++reading;
    reading.notify_all();
    leave.wait(false);
    l.unlock_shared();
  };
  constexpr unsigned many = prim::limits::reader_rows + 20;
  for (unsigned i = 0; i < many; ++i) {
    try {
      threads.emplace_back(read_and_stay);
    } catch (const std::system_error&) {
      break;  // this machine has not got so many
    }
  }
  const auto there = static_cast<unsigned>(threads.size());
  for (unsigned n = reading; n != there; n = reading) reading.wait(n);
  EXPECT_FALSE(l.try_lock());
  leave = true;
  leave.notify_all();
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(l.try_lock());
  l.unlock();
}

// A row belongs to a thread until the very end of that one; the next thread gets it empty.
TEST(rw_lock, is_used_while_a_thread_ends) {
  heddle_lock l;
  for (int i = 0; i < 20; ++i) {
    std::thread([&] {
      heddle_test::thread_exit::call([&] {
        l.lock_shared();
        l.unlock_shared();
      });
      l.lock_shared();
      l.unlock_shared();
    }).join();
  }
  EXPECT_TRUE(l.try_lock());
  l.unlock();
}

TEST(rw_lock, a_stop_ends_the_wait) {
  const heddle_test::watchdog dog;
  heddle_lock l;
  for (const bool written : {true, false}) {
    written ? l.lock() : l.lock_shared();
    std::stop_source source;
    std::vector<std::thread> waiting;
    waiting.emplace_back([&] { EXPECT_FALSE(l.lock(source.get_token())); });
    waiting.emplace_back([&] { EXPECT_FALSE(l.try_lock_for(1h, source.get_token())); });
    if (written) {
      waiting.emplace_back([&] { EXPECT_FALSE(l.lock_shared(source.get_token())); });
      waiting.emplace_back([&] { EXPECT_FALSE(l.try_lock_shared_for(1h, source.get_token())); });
    }
    std::this_thread::sleep_for(2ms);
    source.request_stop();
    for (std::thread& t : waiting) t.join();
    EXPECT_FALSE(on_another_thread([&] { return l.lock(source.get_token()); }));
    written ? l.unlock() : l.unlock_shared();
    EXPECT_TRUE(l.lock(source.get_token()));  // a lock that is free is taken
    l.unlock();
    EXPECT_TRUE(l.lock_shared(source.get_token()));
    l.unlock_shared();
    EXPECT_TRUE(l.lock(std::stop_token()));
    l.unlock();
  }
}

// Those who give up leave the queue from every place in it; the others are all served.
TEST(rw_lock, serves_the_rest_when_some_of_the_queue_give_up) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 20; ++round) {
    heddle_lock l;
    std::atomic<int> served{0};
    std::stop_source source;
    l.lock();
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 9; ++i) {
      sleepers.emplace_back([&, i] {
        const bool write = (i + round) % 2 == 0;
        bool got = true;
        if (i % 3 == 0) {
          write ? l.lock() : l.lock_shared();
        } else if (i % 3 == 1) {
          const auto time = std::chrono::microseconds(200 * i);
          got = write ? l.try_lock_for(time) : l.try_lock_shared_for(time);
        } else {
          got = write ? l.lock(source.get_token()) : l.lock_shared(source.get_token());
        }
        if (!got) return;
        ++served;
        write ? l.unlock() : l.unlock_shared();
      });
    }
    std::this_thread::sleep_for(1ms);
    source.request_stop();
    l.unlock();
    for (std::thread& t : sleepers) t.join();
    EXPECT_GE(served, 3);
    EXPECT_TRUE(l.try_lock());
    l.unlock();
  }
}

TEST(rw_lock, tells_the_delegate_only_when_it_sleeps) {
  const heddle_test::watchdog dog;
  heddle_lock l("settings");
  heddle_test::recording_delegate d;
  l.lock();
  l.unlock();
  l.lock_shared();
  l.unlock_shared();
  EXPECT_TRUE(d.log.empty());
  for (const bool write : {true, false}) {
    std::atomic<bool> held{false};
    std::atomic<bool> entered{false};
    std::thread holder([&] {
      write ? l.lock_shared() : l.lock();
      held = true;
      while (!entered) std::this_thread::yield();
      write ? l.unlock_shared() : l.unlock();
    });
    while (!held) std::this_thread::yield();
    d.inside_enter = [&entered] { entered = true; };
    write ? l.lock() : l.lock_shared();
    write ? l.unlock() : l.unlock_shared();
    holder.join();
    ASSERT_EQ(d.log.size(), 2U);
    EXPECT_THAT(d.log[0], testing::AllOf(HasSubstr("enter"), HasSubstr("settings")));
    EXPECT_THAT(d.log[1], HasSubstr("leave"));
    d.log.clear();
  }
}

TEST(rw_lock, is_not_held_when_the_delegate_throws) {
  const heddle_test::watchdog dog;
  heddle_lock l;
  for (const bool written : {true, false}) {
    written ? l.lock() : l.lock_shared();
    std::thread([&] {
      heddle_test::recording_delegate d;
      d.refuse = true;
      EXPECT_THROW(l.lock(), heddle::would_starve);
      EXPECT_THROW(static_cast<void>(l.try_lock_for(1h)), heddle::would_starve);
      if (written) {
        EXPECT_THROW(l.lock_shared(), heddle::would_starve);
        EXPECT_THROW(static_cast<void>(l.try_lock_shared_for(1h)), heddle::would_starve);
      }
      heddle_test::overwrite_dead_stack();
    }).join();
    EXPECT_EQ(on_another_thread([&] {
                const bool got = l.try_lock_shared();
                if (got) l.unlock_shared();
                return got;
              }),
              !written);
    written ? l.unlock() : l.unlock_shared();
    EXPECT_TRUE(l.try_lock());
    l.unlock();
  }
}

TEST(rw_lock, has_a_name_and_statistics) {
  const heddle_test::watchdog dog;
  heddle_lock l("settings");
  EXPECT_STREQ(l.get().name(), "settings");
  l.get().record(heddle::lock_recording::all);
  for (int i = 0; i < 3; ++i) {
    l.lock_shared();
    l.unlock_shared();
  }
  unsigned waits = 0;
  l.lock();
  std::thread([&] {
    EXPECT_FALSE(l.try_lock());
    EXPECT_FALSE(l.try_lock_shared());
    heddle_test::recording_delegate d;
    d.inside_enter = [] { std::this_thread::sleep_for(1ms); };  // which is part of the wait
    heddle_test::wait_in_vain(
        [&](auto time) {
          EXPECT_FALSE(l.try_lock_for(time));
          EXPECT_FALSE(l.try_lock_shared_for(time));
          waits += 2;
        },
        [&] { return !d.log.empty(); });
  }).join();
  l.unlock();
  const heddle::lock_statistics s = l.get().statistics();
  EXPECT_EQ(s.acquisitions, 4U);
  EXPECT_EQ(s.contended, 0U);
  EXPECT_EQ(s.given_up, waits);
  EXPECT_EQ(s.hold.count(), 1U);
  // The cycle counter is measured to some percent.
  EXPECT_GE(s.hold.longest(), 1900us);
  EXPECT_GE(s.wait.longest(), 1ms);
  EXPECT_NE(s.longest_hold_site, nullptr);
}

TEST(rw_lock, tells_who_writes) {
  const heddle_test::watchdog dog;
  const bool before = heddle::track_lock_owners(true);
  heddle_lock l("settings");
  const std::uint32_t me = prim::thread_number();
  std::atomic<bool> waiting{false};
  l.lock();
  EXPECT_EQ(l.get().owner(), me);
  std::thread other([&] {
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      EXPECT_STREQ(d.record->name, "settings");
      EXPECT_EQ(d.record->object, &l.get());
      EXPECT_EQ(owner(*d.record), me);
      waiting = true;
    };
    l.lock_shared();
    l.unlock_shared();
  });
  while (!waiting) std::this_thread::yield();
  l.unlock();
  other.join();
  EXPECT_EQ(l.get().owner(), 0U);
  heddle::track_lock_owners(before);
}

using rw_lock_death = testing::Test;

TEST(rw_lock_death, misuse_is_told_where_locks_are_checked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  heddle_lock l("settings");
  const auto dies = [](const std::function<void()>& f) {
    heddle::check_locks(true);
    f();
  };
  EXPECT_DEATH(dies([&] { l.unlock(); }),
               "heddle: unlock of a reader-writer lock \"settings\" .* held by nobody");
  EXPECT_DEATH(dies([&] { l.unlock_shared(); }),
               "heddle: unlock_shared of a reader-writer lock \"settings\" .* held by nobody");
  EXPECT_DEATH(dies([&] {
                 l.lock();
                 std::thread([&] { l.unlock(); }).join();
               }),
               "heddle: unlock of a reader-writer lock \"settings\" .* held by thread [0-9]+");
  EXPECT_DEATH(dies([&] {
                 l.lock();
                 l.lock();
               }),
               "waiting without end for a reader-writer lock \"settings\" .* held by this thread");
  EXPECT_DEATH(dies([&] {
                 l.lock();
                 l.lock_shared();
               }),
               "waiting without end for a reader-writer lock \"settings\" .* held by this thread");
}

}  // namespace
