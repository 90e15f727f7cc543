// The files the kernel shows about itself: /proc and /sys, or a recorded copy of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Where the readers of this room look for "proc/..." and "sys/...". The default is the machine
// itself; any other root is a recorded or invented tree, from which everything is read, so that
// nothing of the running machine leaks into the answer.
//
// Paths are relative to the root, a leading '/' changes nothing. Nothing here throws but
// std::bad_alloc: a file that is missing, unreadable or larger than 16 MiB is just not there.
// Costs an open, two reads and a close, some 5 µs for a small file.
class HEDDLE_API tree {
 public:
  tree() = default;
  explicit tree(std::string root);

  const std::string& root() const noexcept { return root_; }

  // True when this is the running machine, so that system calls may answer instead of files.
  bool live() const noexcept { return root_.empty(); }

  // The whole content of a file.
  std::optional<std::string> read(std::string_view path) const;

  // The names in a directory, sorted, without "." and "..". Empty when it cannot be read.
  std::vector<std::string> list(std::string_view path) const;

  bool exists(std::string_view path) const;

 private:
  std::string full(std::string_view path) const;

  std::string root_{};  // without the trailing '/': "" is the machine
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
