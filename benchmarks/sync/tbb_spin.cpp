// oneTBB's spin locks: for comparison, since they never sleep and know nobody who waits.
#include <tbb/spin_mutex.h>
#include <tbb/spin_rw_mutex.h>

#include "rows.hpp"

int main(int argc, char** argv) {
  return bench::run<tbb::spin_mutex, tbb::spin_rw_mutex>(argc, argv);
}
