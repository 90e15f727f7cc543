// The rows of object pools. A contender is a template of a class over the type of the objects, with
//   lease()   a handle of an object, which gives it back when it is destroyed; it can be moved
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>

#include "measure.hpp"

namespace bench {

struct small_object {
  std::uint64_t used = 0;
  std::uint64_t words[7];
};
static_assert(sizeof(small_object) == 64);

// Its buffer is not cleared when it is made: what is compared is memory, not filling it.
struct large_object {
  std::uint64_t used = 0;
  std::byte buffer[4096];
};

template <class Pool>
cost lease_and_return(unsigned threads) {
  Pool pool;
  return median_of(threads, [&](std::uint64_t each) {
    return together(threads, [&](unsigned, auto timed) {
      timed([&pool, each] {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < each; ++i) {
          auto object = pool.lease();
          object->used = i;
          clobber();
          sum += object->used;
        }
        if (sum != each * (each - 1) / 2) fail("an object has changed");
      });
    });
  });
}

// ns to lease an object, to write and read a number in it, and to return it.
// arguments: SIZE THREADS [cpu]
//   SIZE is 64 or 4096; cpu: not the time that passes, but CPU time an operation
template <template <class> class Pool>
double lease(const arguments& words) {
  const unsigned threads = words.threads(1);
  const cost of_one = words.number(0) == 64 ? lease_and_return<Pool<small_object>>(threads)
                                            : lease_and_return<Pool<large_object>>(threads);
  return words.has("cpu") ? of_one.cpu : of_one.wall;
}

// ns for an object of 64 bytes that one thread leases and another returns. They are handed over
// through a ring, which takes part of the time. No arguments.
template <template <class> class Pool>
double hand_over(const arguments&) {
  constexpr std::uint64_t room = 256;
  Pool<small_object> pool;
  using handle = std::optional<decltype(pool.lease())>;
  std::array<handle, room> ring;
  const auto wait_until = [](auto holds) {
    for (unsigned turns = 1; !holds(); ++turns) {
      if (turns % 64 == 0) std::this_thread::yield();
    }
  };
  const cost of_two = median_of(2, [&](std::uint64_t each) {
    alignas(128) std::atomic<std::uint64_t> given{0};
    alignas(128) std::atomic<std::uint64_t> taken{0};
    return together(2, [&](unsigned thread, auto timed) {
      timed([&, thread] {
        std::uint64_t known = 0;  // what the other thread had done when it was last looked at
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < each; ++i) {
          handle& slot = ring[i % room];
          if (thread == 0) {
            wait_until([&] {
              return i - known < room || i - (known = taken.load(std::memory_order_acquire)) < room;
            });
            slot.emplace(pool.lease());
            (*slot)->used = i;
            given.store(i + 1, std::memory_order_release);
          } else {
            wait_until(
                [&] { return i < known || i < (known = given.load(std::memory_order_acquire)); });
            sum += (*slot)->used;
            slot.reset();
            taken.store(i + 1, std::memory_order_release);
          }
        }
        if (thread == 1 && sum != each * (each - 1) / 2) fail("an object has changed");
      });
    });
  });
  return 2 * of_two.wall;
}

}  // namespace bench
