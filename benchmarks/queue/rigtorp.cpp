// rigtorp::MPMCQueue.
#include <rigtorp/MPMCQueue.h>

#include "rows.hpp"

namespace {

using bench::item;

struct bounded {
  explicit bounded(std::size_t capacity) : it(capacity) {}
  bool push(item i) { return it.try_push(i); }
  bool pop(item& i) { return it.try_pop(i); }
  rigtorp::MPMCQueue<item> it;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"bounded", bench::transfer<bench::plain<bounded>>}});
}
