// A set of CPU numbers, as wide as the machine needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// CPU numbers in rising order. A value: copy, compare, iterate. Numbers at or above `limit`,
// sixteen times what any Linux supports, are refused, so that a broken file cannot eat the memory.
class HEDDLE_API cpu_set {
 public:
  static constexpr int limit = 131072;

  cpu_set() = default;

  // The kernel's list syntax: "0-3,5,7-8", also "0-30:2/4" (the first 2 of every 4), empty for no
  // CPU; white space around it is ignored. Nothing when the text is anything else.
  static std::optional<cpu_set> parse(std::string_view list);

  // CPUs 0 to count - 1. Throws std::invalid_argument unless 0 <= count <= limit.
  static cpu_set first(int count);

  // Throws std::invalid_argument unless 0 <= cpu < limit. Constant when cpu is the largest so far.
  void insert(int cpu);

  bool contains(int cpu) const noexcept;
  bool empty() const noexcept { return cpus_.empty(); }
  int size() const noexcept { return static_cast<int>(cpus_.size()); }
  int front() const noexcept { return cpus_.front(); }  // Requires: not empty.

  auto begin() const noexcept { return cpus_.begin(); }
  auto end() const noexcept { return cpus_.end(); }

  // The CPUs that are in both.
  cpu_set operator&(const cpu_set& other) const;

  // In the kernel's list syntax: "0-3,5".
  std::string to_string() const;

  friend bool operator==(const cpu_set&, const cpu_set&) = default;

 private:
  std::vector<int> cpus_{};
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
