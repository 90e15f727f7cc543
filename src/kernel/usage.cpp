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
  const auto value = find_value(*details, v2 ? "inactive_file" : "total_inactive_file");
  const std::uint64_t given_up = value ? parse_number<std::uint64_t>(*value).value_or(0) : 0;
  return *all > given_up ? *all - given_up : 0;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
