// How many threads for which kind of work: the classic rules, as pure functions of numbers.
#pragma once

#include <string>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// A number of threads, at least 1, and why, in words for people: one sentence without a full stop.
struct decision {
  int size = 1;
  std::string reason;
};

// `cores` below is what may be used, fractions included: the smaller of affinity and CPU quota
// (kernel::usable_cores). Results are rounded up, and saturate at the largest int.
// All throw std::invalid_argument, naming the value, for a number that is not finite or not above
// 0, or out of the range told below.

// Work that computes and does not wait: one thread for each physical core, and no more than the
// usable cores carry. Two SMT siblings share one core's arithmetic units, so a second thread there
// adds little and costs cache.
HEDDLE_API decision cpu_bound(double cores, int physical_cores);

struct io_options {
  double wait_to_compute = 4.0;  // time a task waits / time it computes; 0 or more
  int cap = 64;                  // never more threads than this; 1 or more
};

// Work that mostly waits: cores x (1 + wait / compute), so that while some wait the others keep the
// cores busy. Source: B. Goetz et al., Java Concurrency in Practice, 2006, section 8.2.
HEDDLE_API decision io_bound(double cores, io_options options = {});

// Some of both, in shares unknown: two threads for each core.
HEDDLE_API decision mixed(double cores);

// Short waits in programs that do little else at once: cores + 4, at most 32. The default of
// Python's concurrent.futures.ThreadPoolExecutor since 3.8.
HEDDLE_API decision small_io(double cores);

}  // namespace heddle::inline HEDDLE_ABI::sizing
