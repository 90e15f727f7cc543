#include <sys/types.h>

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

std::optional<std::string> read_status(const tree& files, std::string_view process) {
  return files.read("proc/" + std::string(process) + "/status");
}

// The real user of a process, whom the kernel books its threads on.
std::optional<std::uint64_t> find_user(std::string_view status) {
  auto users = find_value(status, "Uid");
  return users ? parse_number<std::uint64_t>(take_word(*users)) : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> count_threads(const tree& files) {
  // "0.20 0.18 0.12 1/345 4711": of 345 threads one is running.
  const auto text = files.read("proc/loadavg");
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  for (int skipped = 0; skipped < 3; ++skipped) take_word(rest);
  std::string_view counts = take_word(rest);
  take_until(counts, '/');
  return parse_number<std::uint64_t>(counts);
}

std::optional<std::uint64_t> count_user_threads(const tree& files) {
  const auto own = read_status(files, "self");
  const auto user = own ? find_user(*own) : std::nullopt;
  if (!user) return std::nullopt;
  std::uint64_t threads = 0;
  for (const std::string& name : files.list("proc")) {
    if (!parse_number<pid_t>(name)) continue;
    const auto status = read_status(files, name);
    if (!status || find_user(*status) != user) continue;
    const auto count = find_value(*status, "Threads");
    threads += count ? parse_number<std::uint64_t>(*count).value_or(1) : 1;
  }
  return threads;
}

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
