// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// Closes its descriptor when destroyed. Movable, not copyable. -1 means none.
class unique_descriptor {
 public:
  unique_descriptor() noexcept = default;
  explicit unique_descriptor(int fd) noexcept : fd_(fd) {}
  unique_descriptor(unique_descriptor&& other) noexcept : fd_(other.release()) {}
  unique_descriptor& operator=(unique_descriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~unique_descriptor() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }

  void reset(int fd = -1) noexcept {
    if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace heddle::inline HEDDLE_ABI::process
