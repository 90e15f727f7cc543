// What locks order, and what they and timed waits do when they do not succeed: a try_lock that
// meets a short section, a wait that is notified as its deadline passes.
#include <gmock/gmock.h>

#include <chrono>
#include <functional>
#include <string>

#include <heddle/model.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/shared_mutex.hpp>
#include <heddle/prim/thread.hpp>

namespace {

namespace model = heddle::model;
namespace prim = heddle::prim;

// Whether some execution makes the body call model::fail("here").
bool happens(const std::function<void()>& body, const model::options& o = {}) {
  const auto r = model::explore(o, body);
  EXPECT_TRUE(r.failed ? r.message.find("here") != std::string::npos : r.complete) << r.describe();
  return r.failed;
}

// Tries so often while another thread has the lock, for a section in which nothing else happens.
template <class Section>
std::function<void()> every_try_fails(unsigned tries, Section section) {
  return [=] {
    prim::shared_mutex mutex;
    prim::thread other([&] { section(mutex); });
    bool succeeded = false;
    for (unsigned i = 0; i < tries && !succeeded; ++i) {
      if (!mutex.try_lock()) continue;
      mutex.unlock();
      succeeded = true;
    }
    if (!succeeded) model::fail("here");
    other.join();
  };
}

const auto writes = [](prim::shared_mutex& m) { m.lock(), m.unlock(); };
const auto reads = [](prim::shared_mutex& m) { m.lock_shared(), m.unlock_shared(); };
const auto nothing = [](prim::shared_mutex&) {};

TEST(checker_try_lock, fails_in_the_middle_of_a_short_section) {
  const model::options o{.spurious_failures = 0};
  EXPECT_TRUE(happens(every_try_fails(1, writes), o));
  EXPECT_TRUE(happens(every_try_fails(2, writes), o));
  EXPECT_TRUE(happens(every_try_fails(1, reads), o));
  EXPECT_FALSE(happens(every_try_fails(1, nothing), o));
}

TEST(checker_shared_mutex, orders_writers_and_readers_but_no_two_readers) {
  const auto body = [](bool first_writes, bool second_writes) {
    prim::shared_mutex mutex;
    prim::cell<int> data{0};
    const auto use = [&](bool exclusive) {
      if (exclusive) {
        mutex.lock();
        data.set(1);
        mutex.unlock();
      } else {
        mutex.lock_shared();
        data.set(1);
        mutex.unlock_shared();
      }
    };
    prim::thread other([&] { use(first_writes); });
    use(second_writes);
    other.join();
  };
  const auto passes = [&](bool first, bool second) {
    const auto r = model::explore({}, [&] { body(first, second); });
    EXPECT_TRUE(r.failed || r.complete);
    EXPECT_THAT(r.message, testing::AnyOf("", testing::HasSubstr("data race")));
    return !r.failed;
  };
  EXPECT_TRUE(passes(true, true));
  EXPECT_TRUE(passes(true, false));
  EXPECT_TRUE(passes(false, true));
  EXPECT_FALSE(passes(false, false));
}

TEST(checker_try_lock, fails_for_nothing_as_often_as_the_bound_says) {
  EXPECT_TRUE(happens(every_try_fails(1, nothing), {.spurious_failures = 1}));
  EXPECT_FALSE(happens(every_try_fails(2, nothing), {.spurious_failures = 1}));
}

TEST(checker_try_lock, succeeds_when_the_unlock_happened_before) {
  EXPECT_FALSE(happens(
      [] {
        prim::mutex mutex;
        prim::thread other([&] {
          mutex.lock();
          mutex.unlock();
        });
        other.join();
        if (mutex.try_lock()) {
          mutex.unlock();
        } else {
          model::fail("here");
        }
      },
      {.spurious_failures = 0}));
}

// std::condition_variable compares the clock when it has the mutex again, so a notified wait may
// time out. Here an item is put for one of two consumers. The one with a deadline is notified,
// times out, and leaves with neither the item nor a word to the other.
TEST(checker_timed_wait, who_times_out_may_have_taken_the_notification) {
  const auto body = [](bool looks_again) {
    prim::mutex mutex;
    prim::condition_variable changed;
    int items = 0;
    bool taken_by_impatient = false;
    const auto put = [&] {
      const prim::scoped_lock lock(mutex);
      ++items;
      changed.notify_one();
    };
    prim::thread patient([&] {
      const prim::scoped_lock lock(mutex);
      while (items == 0) changed.wait(mutex);
      --items;
    });
    prim::thread impatient([&] {
      const prim::scoped_lock lock(mutex);
      const auto deadline = prim::clock::now() + std::chrono::milliseconds(1);
      bool in_time = true;
      while (items == 0 && in_time) in_time = changed.wait_until(mutex, deadline);
      if (items == 0 || (!in_time && !looks_again)) return;
      --items;
      taken_by_impatient = true;
    });
    put();
    impatient.join();
    if (taken_by_impatient) put();
    patient.join();
  };
  const auto lost = model::explore({}, [&] { body(false); });
  EXPECT_TRUE(lost.failed) << lost.describe();
  EXPECT_THAT(lost.message, testing::HasSubstr("deadlock"));
  const auto looked = model::explore({}, [&] { body(true); });
  EXPECT_TRUE(!looked.failed && looked.complete) << looked.describe();
}

}  // namespace
