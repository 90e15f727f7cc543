// oneTBB.
#include <tbb/concurrent_queue.h>

#include "rows.hpp"

namespace {

using bench::item;

struct bounded {
  explicit bounded(std::size_t capacity) { it.set_capacity(static_cast<std::ptrdiff_t>(capacity)); }
  bool push(item i) { return it.try_push(i); }
  bool pop(item& i) { return it.try_pop(i); }
  tbb::concurrent_bounded_queue<item> it;
};

struct unbounded {
  explicit unbounded(std::size_t) {}
  bool push(item i) {
    it.push(i);
    return true;
  }
  bool pop(item& i) { return it.try_pop(i); }
  tbb::concurrent_queue<item> it;
};

struct blocking {
  explicit blocking(std::size_t capacity) {
    it.set_capacity(static_cast<std::ptrdiff_t>(capacity));
  }
  void put(item i) { it.push(i); }
  item get() {
    item i = 0;
    it.pop(i);
    return i;
  }
  tbb::concurrent_bounded_queue<item> it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::plain;
  using bench::transfer;
  return bench::run(argc, argv,
                    {{"bounded", transfer<plain<bounded>>},
                     {"unbounded", transfer<plain<unbounded>>},
                     {"blocking", bench::carry<blocking>},
                     {"linearizable", transfer<plain<unbounded>>}});
}
