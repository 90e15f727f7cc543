// The rows of group queue, the same for every contender.
//
// A contender's program names the queues that it has: `main` is
//   return bench::run(argc, argv, {{"spsc", bench::transfer<my_spsc>}, ...});
// and prints, in nanoseconds an item, how long its queue takes to carry items from producers to
// consumers: the median of several times after one that does not count. Each thread is pinned: the
// producers one after the other to the CPUs there are, and then the consumers.
//
// A queue type Q is made by Q(capacity), 1024, which an unbounded one ignores, and has
//   Q::producer(Q&)  with bool push(item): false when there is no room
//   Q::consumer(Q&)  with bool pop(item&): false when there is nothing
// For rows of batches, push and pop take (item*, count) and return how many it were.
// A queue type for `carry`, whose threads sleep when there is no room or no item, has void
// put(item) and item get() instead.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace bench {

using item = std::uint64_t;

inline constexpr std::size_t ring_capacity = 1024;
inline constexpr std::size_t batch_size = 32;
inline constexpr std::size_t repetitions = 5;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

// The n-th of the CPUs that this process may use, taken in turn.
inline void pin_to(unsigned n) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("sched_getaffinity");
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpus[n % cpus.size()], &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0) fail("pthread_setaffinity_np");
}

// What every contender's threads do when they can do nothing: a few turns of spinning, then the
// other thread on this CPU gets it.
class patience {
 public:
  void wait() {
    if (++turns_ % 16 == 0) {
      std::this_thread::yield();
    } else {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }
  void reset() { turns_ = 0; }

 private:
  unsigned turns_ = 0;
};

// One by one, or in batches, as the queue has it.
template <class Producer>
std::size_t put(Producer& to, const item* first, std::size_t count) {
  if constexpr (requires { to.push(first, count); }) {
    return to.push(first, count);
  } else {
    return to.push(*first) ? 1 : 0;
  }
}
template <class Consumer>
std::size_t get(Consumer& from, item* out, std::size_t most) {
  if constexpr (requires { from.pop(out, most); }) {
    return from.pop(out, most);
  } else {
    return from.pop(*out) ? 1 : 0;
  }
}

template <class Producer>
void produce(Producer& to, std::uint64_t count) {
  constexpr bool in_batches = requires(const item* first) { to.push(first, batch_size); };
  constexpr std::size_t size = in_batches ? batch_size : 1;
  patience p;
  item batch[size];
  for (std::uint64_t next = 1; next <= count;) {
    const std::size_t now = std::min<std::uint64_t>(size, count + 1 - next);
    for (std::size_t i = 0; i < now; ++i) batch[i] = next + i;
    for (std::size_t done = 0; done < now;) {
      const std::size_t accepted = put(to, batch + done, now - done);
      done += accepted;
      if (accepted == 0) {
        p.wait();
      } else {
        p.reset();
      }
    }
    next += now;
  }
}

struct alignas(128) tally {
  std::atomic<std::uint64_t> left;
  alignas(128) std::atomic<std::uint64_t> sum{0};
};

template <class Consumer>
void consume(Consumer& from, tally& all) {
  item batch[batch_size];
  patience p;
  std::uint64_t sum = 0;
  std::uint64_t count = 0;
  for (;;) {
    const std::size_t taken = get(from, batch, batch_size);
    for (std::size_t i = 0; i < taken; ++i) sum += batch[i];
    count += taken;
    if (taken != 0) {
      p.reset();
      continue;
    }
    if (count > 0) {
      if (all.left.fetch_sub(count) == count) break;
      count = 0;
    } else if (all.left.load(std::memory_order_relaxed) == 0) {
      break;
    }
    p.wait();
  }
  all.sum += sum;
}

// From when the first thread begins to when the last one ends, in nanoseconds. (The threads tell
// the time themselves: the one that waits for them may get a CPU only when they are done.)
// Producers and consumers are given `timed`, and call it with what is to be measured.
template <class Produce, class Consume>
double time_together(unsigned producers, unsigned consumers, Produce producer, Consume consumer) {
  using clock = std::chrono::steady_clock;
  const unsigned count = producers + consumers;
  std::barrier start(static_cast<std::ptrdiff_t>(count));
  std::vector<clock::time_point> begun(count);
  std::vector<clock::time_point> ended(count);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      pin_to(i);
      const auto timed = [&](auto work) {
        start.arrive_and_wait();
        begun[i] = clock::now();
        work();
        ended[i] = clock::now();
      };
      if (i < producers) {
        producer(timed);
      } else {
        consumer(timed);
      }
    });
  }
  for (auto& t : threads) t.join();
  const std::chrono::duration<double, std::nano> elapsed =
      *std::max_element(ended.begin(), ended.end()) - *std::min_element(begun.begin(), begun.end());
  return elapsed.count();
}

inline void check_sum(std::uint64_t sum, unsigned producers, std::uint64_t each) {
  if (sum != producers * (each * (each + 1) / 2)) fail("the sum of the items is wrong");
}

template <class Queue>
double transfer_once(unsigned producers, unsigned consumers, std::uint64_t each) {
  Queue queue(ring_capacity);
  tally all;
  all.left = each * producers;
  const double elapsed = time_together(
      producers, consumers,
      [&](auto timed) {
        typename Queue::producer to(queue);
        timed([&] { produce(to, each); });
      },
      [&](auto timed) {
        typename Queue::consumer from(queue);
        timed([&] { consume(from, all); });
      });
  check_sum(all.sum, producers, each);
  return elapsed / static_cast<double>(each * producers);
}

// Puts and gets that sleep. Each consumer takes its share.
template <class Queue>
double carry_once(unsigned producers, unsigned consumers, std::uint64_t each) {
  Queue queue(ring_capacity);
  std::atomic<std::uint64_t> total{0};
  const std::uint64_t share = each * producers / consumers;
  const double elapsed = time_together(
      producers, consumers,
      [&](auto timed) {
        timed([&] {
          for (std::uint64_t i = 1; i <= each; ++i) queue.put(i);
        });
      },
      [&](auto timed) {
        timed([&] {
          std::uint64_t sum = 0;
          for (std::uint64_t i = 0; i < share; ++i) sum += queue.get();
          total += sum;
        });
      });
  check_sum(total, producers, each);
  return elapsed / static_cast<double>(each * producers);
}

using once = double (*)(unsigned producers, unsigned consumers, std::uint64_t each);

inline double median_of(once measure, unsigned producers, unsigned consumers, std::uint64_t items) {
  std::vector<double> times;
  for (std::size_t i = 0; i <= repetitions; ++i) {
    const double time = measure(producers, consumers, items / producers);
    if (i > 0) times.push_back(time);
  }
  std::nth_element(times.begin(), times.begin() + repetitions / 2, times.end());
  return times[repetitions / 2];
}

template <class Queue>
double transfer(unsigned producers, unsigned consumers, std::uint64_t items) {
  return median_of(&transfer_once<Queue>, producers, consumers, items);
}
// Requires: the items can be shared out evenly.
template <class Queue>
double carry(unsigned producers, unsigned consumers, std::uint64_t items) {
  return median_of(&carry_once<Queue>, producers, consumers, items);
}

using row = double (*)(unsigned producers, unsigned consumers, std::uint64_t items);

// usage: CONTENDER QUEUE PRODUCERS CONSUMERS ITEMS
inline int run(int argc, char** argv, const std::map<std::string, row>& rows) {
  const auto found = argc == 5 ? rows.find(argv[1]) : rows.end();
  if (found == rows.end()) {
    std::fprintf(stderr, "usage: %s QUEUE PRODUCERS CONSUMERS ITEMS, where QUEUE is one of\n",
                 argv[0]);
    for (const auto& [name, _] : rows) std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  const auto number = [&](int i) { return static_cast<unsigned>(std::stoul(argv[i])); };
  std::printf("%.6g\n", found->second(number(2), number(3), std::stoull(argv[4])));
  return 0;
}

// A queue without tokens, whose push and pop are `bool push(item)` and `bool pop(item&)`.
template <class Queue>
struct plain : Queue {
  using Queue::Queue;
  struct producer {
    explicit producer(plain& q) : queue(q) {}
    bool push(item i) { return queue.Queue::push(i); }
    plain& queue;
  };
  struct consumer {
    explicit consumer(plain& q) : queue(q) {}
    bool pop(item& i) { return queue.Queue::pop(i); }
    plain& queue;
  };
};

}  // namespace bench
