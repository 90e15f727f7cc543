// The exceptions of Heddle's own. Bad arguments throw std::invalid_argument, failed system calls
// std::system_error; everything else derives from heddle::error.
#pragma once

#include <stdexcept>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

class HEDDLE_API error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~error() override;
};

// The work was given up before it produced a result.
class HEDDLE_API cancelled : public error {
 public:
  cancelled();
  using error::error;
  ~cancelled() override;
};

// The promise was destroyed without a value or an exception.
class HEDDLE_API broken_promise : public error {
 public:
  broken_promise();
  ~broken_promise() override;
};

// A future or promise was used that has no state: default constructed, moved from, or already read.
class HEDDLE_API no_state : public error {
 public:
  explicit no_state(const char* operation);
  ~no_state() override;
};

// A promise was given a second result, or a second future was asked of it.
class HEDDLE_API already_satisfied : public error {
 public:
  explicit already_satisfied(const char* what);
  ~already_satisfied() override;
};

// The executor accepts no more work.
class HEDDLE_API rejected : public error {
 public:
  using error::error;
  ~rejected() override;
};

// A worker had to wait, no spare worker could stand in, and the pool's option says to tell.
class HEDDLE_API would_starve : public error {
 public:
  using error::error;
  ~would_starve() override;
};

// The wait was part of a deadlock, and a watchdog with the policy to break it chose this thread.
// what() names the threads, and what each waits for. Nothing was acquired.
class HEDDLE_API deadlock_error : public error {
 public:
  using error::error;
  ~deadlock_error() override;
};

// Work was told to stop because its time had run out, and has ended.
class HEDDLE_API timed_out : public error {
 public:
  timed_out();
  ~timed_out() override;
};

// A child process waited for a result that a thread of its parent was to make.
class HEDDLE_API forked : public error {
 public:
  forked();
  ~forked() override;
};

}  // namespace heddle::inline HEDDLE_ABI
