#include <charconv>
#include <string_view>
#include <system_error>

#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

std::optional<std::uint64_t> parse_limit(std::string_view word) {
  return word == "unlimited" ? resource_limit::unlimited : parse_number<std::uint64_t>(word);
}

// "Max open files            20000                20000                files     "
std::optional<resource_limit> find_limit(std::string_view text, std::string_view name) {
  auto columns = find_value(text, name);
  if (!columns) return std::nullopt;
  const auto soft = parse_limit(take_word(*columns));
  const auto hard = parse_limit(take_word(*columns));
  if (!soft || !hard) return std::nullopt;
  return resource_limit{*soft, *hard};
}

// What fork(2) does not apply the limit to: the user 0 of the machine, not of a user namespace, and
// whoever has one of two capabilities there.
bool ignores_process_limit(const tree& files) {
  if (const auto map = files.read("proc/self/uid_map")) {
    std::string_view rest = *map;
    const auto inside = take_word(rest);
    const auto outside = take_word(rest);
    const auto users = take_word(rest);
    if (inside != "0" || outside != "0" || users != "4294967295") return false;
  }
  const auto status = files.read("proc/self/status");
  if (!status) return false;
  auto users = find_value(*status, "Uid");
  if (users && take_word(*users) == "0") return true;
  const auto capabilities = find_value(*status, "CapEff");
  std::uint64_t set = 0;
  if (!capabilities ||
      std::from_chars(capabilities->data(), capabilities->data() + capabilities->size(), set, 16)
              .ec != std::errc{})
    return false;
  constexpr int sys_admin = 21;  // capabilities(7)
  constexpr int sys_resource = 24;
  return ((set >> sys_admin | set >> sys_resource) & 1) != 0;
}

}  // namespace

process_limits read_process_limits(const tree& files) {
  process_limits limits;
  if (const auto text = files.read("proc/self/limits")) {
    limits.open_files = find_limit(*text, "Max open files");
    limits.processes = find_limit(*text, "Max processes");
  }
  limits.ignores_processes = ignores_process_limit(files);
  limits.tasks = tightest_limit(files, find_cgroups(files, "pids"), "pids.max", "pids.max");
  return limits;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
