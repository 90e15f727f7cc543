#include <initializer_list>
#include <string>
#include <string_view>

#include <heddle/kernel/text.hpp>
#include <heddle/kernel/usage.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

// A file beside the one that sets the limit.
std::string beside(const cgroup_limit& limit, std::string_view name) {
  return limit.file.substr(0, limit.file.rfind('/') + 1).append(name);
}

std::optional<std::uint64_t> read_number(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  return text ? parse_number<std::uint64_t>(*text) : std::nullopt;
}

std::uint64_t find_sum(std::string_view text, std::initializer_list<std::string_view> keys) {
  std::uint64_t sum = 0;
  for (const std::string_view key : keys)
    if (const auto value = find_value(text, key))
      sum += parse_number<std::uint64_t>(*value).value_or(0);
  return sum;
}

}  // namespace

std::optional<std::uint64_t> read_tasks_in_use(const cgroup_limit& limit, const tree& files) {
  return read_number(files, beside(limit, "pids.current"));
}

std::optional<std::uint64_t> read_memory_in_use(const cgroup_limit& limit, const tree& files) {
  const bool v2 = limit.version == cgroup_version::v2;
  const auto all =
      read_number(files, beside(limit, v2 ? "memory.current" : "memory.usage_in_bytes"));
  if (!all) return std::nullopt;
  const auto details = files.read(beside(limit, "memory.stat"));
  if (!details) return all;
  const std::uint64_t given_up =
      v2 ? find_sum(*details, {"inactive_file", "active_file", "slab_reclaimable"})
         : find_sum(*details, {"total_inactive_file", "total_active_file"});
  return *all > given_up ? *all - given_up : 0;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
