// A file of the kernel's that is opened once and read many times.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Reading again costs one system call, some 0.5 to 3 µs, where tree::read() costs four and an
// allocation. A file of a process or thread stays that process's: when it has ended,
// reading gives nothing, even if its number is in use again.
class HEDDLE_API held_file {
 public:
  held_file() = default;  // of no file

  // Not open when the file cannot be opened. Nor when that would take a descriptor from the upper
  // half of what the soft limit allows (RLIMIT_NOFILE): those are the program's.
  // Throws nothing but std::bad_alloc.
  held_file(const tree& files, std::string_view path);

  held_file(held_file&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  held_file& operator=(held_file&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~held_file() { close(); }

  bool is_open() const noexcept { return descriptor_ >= 0; }
  void close() noexcept;

  // The file as it is now, in `buffer`; cut off where that is full. Nothing when it is not open or
  // cannot be read any more. Safe to call from several threads.
  std::optional<std::string_view> read(std::span<char> buffer) const noexcept;

 private:
  int descriptor_ = -1;
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
