// A user's first model: a hand-over of his own, and a pool of Heddle's, under the checker.
#include <cstdio>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/model.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/thread.hpp>

namespace prim = heddle::prim;

namespace {

void hand_over(prim::memory_order order) {
  prim::cell<int> message{0};
  prim::atomic<bool> sent{false};
  prim::thread sender([&] {
    message.set(1);
    sent.store(true, order);
  });
  if (sent.load(prim::acquire)) heddle::model::check(message.get() == 1);
  sender.join();
}

void one_task() {
  heddle::thread_pool_options options;
  options.workers = 1;
  heddle::thread_pool pool(std::move(options));
  heddle::model::check(pool.submit([] { return 42; }).get() == 42);
}

}  // namespace

int main() {
  const auto good = heddle::model::explore({}, [] { hand_over(prim::release); });
  const auto bad = heddle::model::explore({}, [] { hand_over(prim::relaxed); });
  heddle::model::options o;
  o.preemptions = 1;
  o.timeouts = 0;
  const auto pool = heddle::model::explore(o, one_task);
  std::printf("%s%s%s", good.describe().c_str(), bad.describe().c_str(), pool.describe().c_str());
  return good.complete && bad.failed && pool.complete ? 0 : 1;
}
