// folly::MPMCQueue and folly::UMPMCQueue.
#include <folly/MPMCQueue.h>
#include <folly/concurrency/UnboundedQueue.h>

#include "rows.hpp"

namespace {

using bench::item;

struct blocking {
  explicit blocking(std::size_t capacity) : it(capacity) {}
  void put(item i) { it.blockingWrite(i); }
  item get() {
    item i = 0;
    it.blockingRead(i);
    return i;
  }
  folly::MPMCQueue<item> it;
};

struct unbounded {
  explicit unbounded(std::size_t) {}
  bool push(item i) {
    it.enqueue(i);
    return true;
  }
  bool pop(item& i) { return it.try_dequeue(i); }
  folly::UMPMCQueue<item, false> it;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv,
                    {{"blocking", bench::carry<blocking>},
                     {"linearizable", bench::transfer<bench::plain<unbounded>>}});
}
