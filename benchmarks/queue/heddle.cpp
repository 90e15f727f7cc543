#include <heddle/lockfree/linearizable_queue.hpp>
#include <heddle/lockfree/mpmc_queue.hpp>
#include <heddle/lockfree/mpmc_ring.hpp>
#include <heddle/lockfree/spsc_ring.hpp>
#include <heddle/queue/bounded_queue.hpp>

#include "rows.hpp"

namespace {

using bench::item;

template <class Ring>
struct ring {
  explicit ring(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.try_push(i); }
  bool pop(item& i) { return it.try_pop(i); }
  Ring it;
};

template <class Queue>
struct unbounded {
  explicit unbounded(std::size_t) {}
  bool push(item i) {
    it.push(i);
    return true;
  }
  bool pop(item& i) { return it.try_pop(i); }
  Queue it;
};

using queue = heddle::mpmc_queue<item>;

struct with_tokens {
  explicit with_tokens(std::size_t) {}
  struct producer {
    explicit producer(with_tokens& q) : to(q.it) {}
    bool push(item i) {
      to.push(i);
      return true;
    }
    queue::producer to;
  };
  struct consumer {
    explicit consumer(with_tokens& q) : from(q.it) {}
    bool pop(item& i) { return from.try_pop(i); }
    queue::consumer from;
  };
  queue it;
};

struct in_batches {
  explicit in_batches(std::size_t) {}
  struct producer {
    explicit producer(in_batches& q) : to(q.it) {}
    std::size_t push(const item* first, std::size_t count) {
      to.push_n(first, count);
      return count;
    }
    queue::producer to;
  };
  struct consumer {
    explicit consumer(in_batches& q) : from(q.it) {}
    std::size_t pop(item* out, std::size_t most) { return from.pop_n(out, most); }
    queue::consumer from;
  };
  queue it;
};

struct blocking {
  explicit blocking(std::size_t capacity) : it(capacity) {}
  void put(item i) { it.put(i); }
  item get() { return *it.get(); }
  heddle::bounded_queue<item> it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::carry;
  using bench::plain;
  using bench::transfer;
  return bench::run(
      argc, argv,
      {{"spsc", transfer<plain<ring<heddle::spsc_ring<item>>>>},
       {"bounded", transfer<plain<ring<heddle::mpmc_ring<item>>>>},
       {"unbounded", transfer<plain<unbounded<queue>>>},
       {"tokens", transfer<with_tokens>},
       {"batches", transfer<in_batches>},
       {"blocking", carry<blocking>},
       {"linearizable", transfer<plain<unbounded<heddle::linearizable_queue<item>>>>}});
}
