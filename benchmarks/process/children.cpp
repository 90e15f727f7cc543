// Keeps SLOTS children of /bin/true running on an event loop until JOBS of them have ended.
// usage: children SLOTS JOBS
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <heddle/process/child.hpp>

namespace {

namespace process = heddle::process;

struct work {
  process::event_loop loop;
  int to_start = 0;
  int running = 0;
  int failed = 0;
};

// Runs one child after another.
class slot final : public process::exit_handler {
 public:
  explicit slot(work& w) : work_(w) {}

  void next() {
    if (work_.to_start == 0) return;
    --work_.to_start;
    ++work_.running;
    child_ = process::child(work_.loop, command_, *this);
  }

  void on_exit(const process::exit_report& report) noexcept override {
    if (!report.success()) ++work_.failed;
    --work_.running;
    next();
    if (work_.running == 0) work_.loop.stop();
  }

 private:
  work& work_;
  const process::command command_{.argv = {"/bin/true"}};
  process::child child_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: children SLOTS JOBS\n");
    return 2;
  }
  work w;
  w.to_start = std::atoi(argv[2]);
  std::vector<std::unique_ptr<slot>> slots;
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    slots.push_back(std::make_unique<slot>(w));
    slots.back()->next();
  }
  w.loop.run();
  return w.failed == 0 ? 0 : 1;
}
