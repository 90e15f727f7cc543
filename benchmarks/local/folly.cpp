// folly's hazard pointers.
#include <folly/synchronization/Hazptr.h>

#include <atomic>

#include "snapshots.hpp"

namespace {

using bench::settings;

class hazard_pointers {
 public:
  explicit hazard_pointers(const settings& first) : current_(new value(first)) {}
  ~hazard_pointers() { delete current_.load(); }
  template <class F>
  auto read(F f) const {
    folly::hazptr_local<1> held;
    return f(held[0].protect(current_)->it);
  }
  void update(const settings& next) { current_.exchange(new value(next))->retire(); }

 private:
  struct value : folly::hazptr_obj_base<value> {
    explicit value(const settings& one) : it(one) {}
    settings it;
  };
  std::atomic<value*> current_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"folly read", bench::read<hazard_pointers>}});
}
