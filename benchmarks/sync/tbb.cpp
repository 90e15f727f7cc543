// oneTBB's locks that sleep.
#include <oneapi/tbb/mutex.h>
#include <oneapi/tbb/rw_mutex.h>

#include "rows.hpp"

int main(int argc, char** argv) { return bench::run<tbb::mutex, tbb::rw_mutex>(argc, argv); }
