// oneTBB's locks that sleep.
#include <oneapi/tbb/mutex.h>
#include <oneapi/tbb/rw_mutex.h>

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

int main(int argc, char** argv) { return bench::run<contender, tbb::rw_mutex>(argc, argv); }
