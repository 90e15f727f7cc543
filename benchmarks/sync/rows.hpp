// The rows of group sync, the same for every contender.
//
// A contender is a class with
//   lock(), unlock()
//   record(what)       switches statistics to "off", "sampled" or "all"; may be absent
//   wait(p), wake()    waits, with the lock held, until p(); wakes who waits; may be absent
// and, for the rows of reader-writer locks, a second one with
//   lock(), unlock(), lock_shared(), unlock_shared()
// main is `return bench::run<my_contender, my_rw_contender>(argc, argv);`: it runs the row that the
// command line asks for, several times after one time that does not count, and prints the median.
//
// No row is run by the only thread of a process: the C library leaves out the atomic instructions
// of its mutex there.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace bench {

using std::chrono::steady_clock;

template <class F>
double median_of(int times, F once) {
  once();
  std::vector<double> values;
  for (int i = 0; i < times; ++i) values.push_back(once());
  const auto middle = values.begin() + times / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A thread that is there, and sleeps.
class bystander {
 public:
  bystander() : thread_([this] { done_.wait(false); }) {}
  ~bystander() {
    done_ = true;
    done_.notify_one();
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

// Some nanoseconds of arithmetic that the compiler does not see through: about 1 for each turn.
inline std::uint64_t work(std::uint64_t value, unsigned turns) {
  for (unsigned i = 0; i < turns; ++i) {
    value ^= value << 13;
    value ^= value >> 7;
    value ^= value << 17;
  }
  return value;
}

// ns for a lock, an increment and an unlock.
template <class Contender>
double uncontended(Contender& lock) {
  constexpr std::uint64_t rounds = 2'000'000;
  const bystander other;
  std::uint64_t count = 0;
  return median_of(15, [&] {
    const auto start = steady_clock::now();
    for (std::uint64_t i = 0; i < rounds; ++i) {
      lock.lock();
      asm volatile("" : "+r"(count));
      ++count;
      lock.unlock();
    }
    return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count() /
           static_cast<double>(rounds);
  });
}

// ns of wall time for each time that some thread went through, which takes `inside` turns of work
// with the lock and twice as many without.
template <class Contender>
double contended(Contender& lock, unsigned threads, unsigned inside) {
  const std::uint64_t each = 400'000 / threads;
  std::uint64_t guarded = 88172645463325252ULL;
  return median_of(9, [&] {
    std::barrier begin(static_cast<std::ptrdiff_t>(threads) + 1);
    std::vector<std::thread> team;
    for (unsigned t = 0; t < threads; ++t) {
      team.emplace_back([&, t] {
        std::uint64_t own = 123456789 + t;
        begin.arrive_and_wait();
        for (std::uint64_t i = 0; i < each; ++i) {
          lock.lock();
          guarded = work(guarded, inside);
          lock.unlock();
          own = work(own, 2 * inside);
        }
        std::atomic_signal_fence(std::memory_order_seq_cst);
        static std::atomic<std::uint64_t> sink;
        sink.store(own, std::memory_order_relaxed);
      });
    }
    begin.arrive_and_wait();
    const auto start = steady_clock::now();
    for (std::thread& t : team) t.join();
    return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count() /
           static_cast<double>(each * threads);
  });
}

// ns of wall time an operation, of which so many in a thousand write: a few instructions with the
// lock held.
template <class Contender>
double shared(Contender& lock, unsigned threads, unsigned writes_in_a_thousand) {
  const std::uint64_t each = 1'600'000 / threads;
  struct alignas(128) guarded {
    std::uint64_t one = 0;
    std::uint64_t other = 0;
  };
  guarded data;
  return median_of(9, [&] {
    std::barrier begin(static_cast<std::ptrdiff_t>(threads) + 1);
    std::vector<std::thread> team;
    for (unsigned t = 0; t < threads; ++t) {
      team.emplace_back([&, t] {
        std::uint64_t dice = 88172645463325252ULL + t;
        std::uint64_t seen = 0;
        begin.arrive_and_wait();
        for (std::uint64_t i = 0; i < each; ++i) {
          dice = work(dice, 1);
          if ((dice >> 32) % 1000 < writes_in_a_thousand) {
            lock.lock();
            ++data.one;
            ++data.other;
            lock.unlock();
          } else {
            lock.lock_shared();
            seen += data.one - data.other;
            lock.unlock_shared();
          }
        }
        if (seen != 0) std::abort();
      });
    }
    begin.arrive_and_wait();
    const auto start = steady_clock::now();
    for (std::thread& t : team) t.join();
    return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count() /
           static_cast<double>(each * threads);
  });
}

// ns for a turn, when two threads wake each other.
template <class Contender>
double turns(Contender& lock) {
  constexpr int rounds = 20'000;
  return median_of(7, [&] {
    int turn = 0;
    const auto play = [&](int mine) {
      for (int i = 0; i < rounds; ++i) {
        lock.lock();
        lock.wait([&] { return turn % 2 == mine; });
        ++turn;
        lock.wake();
        lock.unlock();
      }
    };
    const auto start = steady_clock::now();
    std::thread other([&] { play(1); });
    play(0);
    other.join();
    return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count() /
           (2.0 * rounds);
  });
}

// Stands for the lock that a contender does not have.
struct none {};

// The rows of mutexes.
template <class Contender>
double run_mutex(const std::vector<std::string>& words) {
  if constexpr (std::is_same_v<Contender, none>) {
    throw std::invalid_argument("this contender has only a reader-writer lock");
  } else {
    const std::string& row = words.at(0);
    Contender lock;
    if (row == "uncontended") {
      if constexpr (requires { lock.record(words.at(1)); }) {
        if (words.size() > 1) lock.record(words.at(1));
      }
      return uncontended(lock);
    }
    if (row == "contended") {
      return contended(lock, static_cast<unsigned>(std::stoul(words.at(1))),
                       static_cast<unsigned>(std::stoul(words.at(2))));
    }
    if (row == "turns") {
      if constexpr (requires { lock.wake(); }) {
        return turns(lock);
      } else {
        throw std::invalid_argument("this contender does not wait");
      }
    }
    throw std::invalid_argument("no row " + row);
  }
}

template <class Contender, class Shared = none>
int run(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    const std::string row = words.at(0);
    double figure = 0;
    if (row == "shared") {
      if constexpr (!std::is_same_v<Shared, none>) {
        Shared lock;
        figure = shared(lock, static_cast<unsigned>(std::stoul(words.at(1))),
                        static_cast<unsigned>(std::stoul(words.at(2))));
      } else {
        throw std::invalid_argument("this contender has no reader-writer lock");
      }
    } else {
      figure = run_mutex<Contender>(words);
    }
    std::printf("%.4g\n", figure);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
    return 1;
  }
}

}  // namespace bench
