// oneTBB's mutex that sleeps.
#include <oneapi/tbb/mutex.h>

#include "rows.hpp"

namespace {

class contender {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  tbb::mutex mutex_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
