// xenium (Debian: libxenium-dev): two of its queues.
#include <xenium/ramalhete_queue.hpp>
#include <xenium/reclamation/generic_epoch_based.hpp>
#include <xenium/vyukov_bounded_queue.hpp>

#include "rows.hpp"

namespace {

using bench::item;

struct bounded {
  explicit bounded(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.try_push_weak(i); }
  bool pop(item& i) { return it.try_pop_weak(i); }
  xenium::vyukov_bounded_queue<item> it;
};

// It carries pointers alone.
struct unbounded {
  explicit unbounded(std::size_t) {}
  bool push(item i) {
    it.push(reinterpret_cast<item*>(i << 4));
    return true;
  }
  bool pop(item& i) {
    item* p = nullptr;
    if (!it.try_pop(p)) return false;
    i = reinterpret_cast<item>(p) >> 4;
    return true;
  }
  xenium::ramalhete_queue<item*, xenium::policy::reclaimer<xenium::reclamation::epoch_based<>>,
                          xenium::policy::entries_per_node<1024>>
      it;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::plain;
  using bench::transfer;
  return bench::run(
      argc, argv,
      {{"bounded", transfer<plain<bounded>>}, {"linearizable", transfer<plain<unbounded>>}});
}
