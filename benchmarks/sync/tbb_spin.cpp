// oneTBB's spin lock: for comparison, since it never sleeps and knows nobody who waits.
#include <tbb/spin_mutex.h>

#include "rows.hpp"

namespace {

class contender {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  tbb::spin_mutex mutex_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
