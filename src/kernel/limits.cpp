#include <string_view>

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

}  // namespace

process_limits read_process_limits(const tree& files) {
  process_limits limits;
  if (const auto text = files.read("proc/self/limits")) {
    limits.open_files = find_limit(*text, "Max open files");
    limits.processes = find_limit(*text, "Max processes");
  }
  limits.tasks = tightest_limit(files, find_cgroups(files, "pids"), "pids.max", "pids.max");
  return limits;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
