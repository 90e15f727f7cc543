// The rows of counters. A contender is a class with
//   add()     counts one
//   total()   what all threads have counted, those that have ended, too; nobody counts meanwhile
//   leave()   what a thread calls that has done counting; may be absent
#pragma once

#include <barrier>
#include <cstdint>

#include "measure.hpp"

namespace bench {

template <class Counter>
void leave(Counter& counter) {
  if constexpr (requires { counter.leave(); }) counter.leave();
}

// ns an increment. arguments: THREADS
template <class Counter>
double increment(const arguments& words) {
  const unsigned threads = words.threads(0);
  Counter counter;
  std::uint64_t expected = 0;
  const cost of_one = median_of(threads, [&](std::uint64_t each) {
    const cost all = together(threads, [&](unsigned, auto timed) {
      timed([&counter, each] {
        for (std::uint64_t i = 0; i < each; ++i) {
          counter.add();
          clobber();
        }
      });
      leave(counter);
    });
    expected += each * threads;
    if (counter.total() != expected) fail("the total is wrong");
    return all;
  });
  return of_one.wall;
}

// ns for the sum, asked by one of so many threads that all have counted, and are there.
// arguments: THREADS
template <class Counter>
double total(const arguments& words) {
  const unsigned threads = words.threads(0);
  const cost of_one = median_of(1, [&](std::uint64_t each) {
    Counter counter;
    std::barrier step(static_cast<std::ptrdiff_t>(threads));
    return together(threads, [&](unsigned thread, auto timed) {
      counter.add();
      step.arrive_and_wait();
      timed([&, thread] {
        if (thread != 0) return;
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < each; ++i) {
          sum += counter.total();
          clobber();
        }
        if (sum != each * threads) fail("the total is wrong");
      });
      step.arrive_and_wait();
      leave(counter);
    });
  });
  return of_one.wall;
}

}  // namespace bench
