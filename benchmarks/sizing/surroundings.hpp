// What loads change around the pool: other programs, and the CPU time that this process may have.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

// A program from the folder of this one, killed at the end, in a session of its own: where the
// kernel groups processes by session, it is a group of its own, like another service.
class companion {
 public:
  companion(const std::string& program, const std::vector<std::string>& arguments);
  companion(const companion&) = delete;
  companion& operator=(const companion&) = delete;
  ~companion();

  // What the program says when it has begun.
  const std::string& first_line() const { return first_line_; }
  double cpu_seconds() const;  // that it has used
  void pause();
  void go_on();

 private:
  pid_t process_ = 0;
  std::string first_line_;
};

// CPU time that all programs of the machine have used, and what a hypervisor kept from it; 0 when
// the kernel does not tell.
double cpu_seconds_of_machine();

// Narrows the CPU time of this process, and widens it again.
class cpu_limit {
 public:
  virtual ~cpu_limit() = default;
  virtual void set(double cores) = 0;
  virtual void lift() = 0;
  virtual std::string how() const = 0;
};

// A cgroup's quota where groups may be made; else the affinity of all threads, which knows whole
// cores only.
std::unique_ptr<cpu_limit> make_cpu_limit();

}  // namespace bench
