// oneTBB's spin locks: for comparison, since they never sleep and know nobody who waits.
#include <tbb/spin_mutex.h>
#include <tbb/spin_rw_mutex.h>

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

int main(int argc, char** argv) { return bench::run<contender, tbb::spin_rw_mutex>(argc, argv); }
