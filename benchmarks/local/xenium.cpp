// xenium's left_right (Debian: libxenium-dev): two copies, and readers that count themselves.
#include <xenium/left_right.hpp>

#include "snapshots.hpp"

namespace {

using bench::settings;

class left_right {
 public:
  explicit left_right(const settings& first) : both_(first) {}
  template <class F>
  auto read(F f) const {
    return both_.read(f);
  }
  void update(const settings& next) {
    both_.update([&](settings& copy) { copy = next; });
  }

 private:
  xenium::left_right<settings> both_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"xenium read", bench::read<left_right>}});
}
