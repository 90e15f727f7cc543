// moodycamel::ConcurrentQueue (Debian: libconcurrentqueue-dev).
#include <concurrentqueue/concurrentqueue.h>

#include "rows.hpp"

namespace {

using bench::item;
using queue = moodycamel::ConcurrentQueue<item>;

struct without_tokens {
  explicit without_tokens(std::size_t) {}
  bool push(item i) { return it.enqueue(i); }
  bool pop(item& i) { return it.try_dequeue(i); }
  queue it;
};

struct with_tokens {
  explicit with_tokens(std::size_t) {}
  struct producer {
    explicit producer(with_tokens& q) : queue(q), token(q.it) {}
    bool push(item i) { return queue.it.enqueue(token, i); }
    with_tokens& queue;
    moodycamel::ProducerToken token;
  };
  struct consumer {
    explicit consumer(with_tokens& q) : queue(q), token(q.it) {}
    bool pop(item& i) { return queue.it.try_dequeue(token, i); }
    with_tokens& queue;
    moodycamel::ConsumerToken token;
  };
  queue it;
};

struct in_batches {
  explicit in_batches(std::size_t) {}
  struct producer {
    explicit producer(in_batches& q) : queue(q), token(q.it) {}
    std::size_t push(const item* first, std::size_t count) {
      return queue.it.enqueue_bulk(token, first, count) ? count : 0;
    }
    in_batches& queue;
    moodycamel::ProducerToken token;
  };
  struct consumer {
    explicit consumer(in_batches& q) : queue(q), token(q.it) {}
    std::size_t pop(item* out, std::size_t most) {
      return queue.it.try_dequeue_bulk(token, out, most);
    }
    in_batches& queue;
    moodycamel::ConsumerToken token;
  };
  queue it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::transfer;
  return bench::run(argc, argv,
                    {{"unbounded", transfer<bench::plain<without_tokens>>},
                     {"tokens", transfer<with_tokens>},
                     {"batches", transfer<in_batches>}});
}
