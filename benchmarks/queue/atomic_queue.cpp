// max0x7ba/atomic_queue, whose elements here are the atomics themselves (0 is no item).
#include <atomic_queue/atomic_queue.h>

#include "rows.hpp"

namespace {

using bench::item;

template <bool Single>
struct ring {
  explicit ring(std::size_t) {}
  bool push(item i) { return it.try_push(i); }
  bool pop(item& i) { return it.try_pop(i); }
  atomic_queue::AtomicQueue<item, bench::ring_capacity, item{}, true, true, false, Single> it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::plain;
  using bench::transfer;
  return bench::run(
      argc, argv,
      {{"spsc", transfer<plain<ring<true>>>}, {"bounded", transfer<plain<ring<false>>>}});
}
