// Boost.Lockfree.
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include "rows.hpp"

namespace {

using bench::item;

struct spsc {
  explicit spsc(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.push(i); }
  bool pop(item& i) { return it.pop(i); }
  boost::lockfree::spsc_queue<item> it;
};

struct bounded {
  explicit bounded(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.bounded_push(i); }
  bool pop(item& i) { return it.pop(i); }
  boost::lockfree::queue<item> it;
};

struct unbounded {
  explicit unbounded(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.push(i); }
  bool pop(item& i) { return it.pop(i); }
  boost::lockfree::queue<item> it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::plain;
  using bench::transfer;
  return bench::run(argc, argv,
                    {{"spsc", transfer<plain<spsc>>},
                     {"bounded", transfer<plain<bounded>>},
                     {"linearizable", transfer<plain<unbounded>>}});
}
