// Lets the soft limit of open files be low for a while.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace heddle_test {

// The number that the next file to be opened has.
inline int next_descriptor() {
  const int next = ::dup(0);
  ::close(next);
  return next;
}

// So many may be open that held_file keeps none, and a few may be opened for a moment.
inline rlim_t none_to_hold() { return 2 * static_cast<rlim_t>(next_descriptor()); }

class few_descriptors {
 public:
  explicit few_descriptors(rlim_t most) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit low{most, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
  }
  few_descriptors(const few_descriptors&) = delete;
  few_descriptors& operator=(const few_descriptors&) = delete;
  ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace heddle_test
