// folly::MPMCQueue.
#include <folly/MPMCQueue.h>

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

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"blocking", bench::carry<blocking>}});
}
