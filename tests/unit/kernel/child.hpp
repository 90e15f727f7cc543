// A child process that does what it is told until it is ended.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

namespace heddle_test {

class child {
 public:
  template <class Work>
  explicit child(Work work) : id_(::fork()) {
    if (id_ != 0) return;
    work();
    ::_exit(0);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { end(); }

  pid_t id() const { return id_; }

  // Kills it if need be, waits for it, and returns the CPU time it has used.
  std::chrono::nanoseconds end() {
    if (id_ <= 0) return {};
    ::kill(id_, SIGKILL);
    rusage use{};
    ::wait4(id_, nullptr, 0, &use);
    id_ = 0;
    return std::chrono::seconds(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           std::chrono::microseconds(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
  }

 private:
  pid_t id_;
};

[[noreturn]] inline void sleep_forever() {
  while (true) ::pause();
}

[[noreturn]] inline void compute_forever() {
  for (volatile unsigned long i = 0;;) i = i + 1;
}

}  // namespace heddle_test
