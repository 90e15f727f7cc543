#include <algorithm>
#include <string_view>
#include <vector>

#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

// v1 writes "no limit" as the largest number of whole pages that fits in 63 bits.
constexpr std::uint64_t unlimited_from = std::uint64_t{1} << 62;

// "MemTotal:       24684092 kB"
std::uint64_t find_kib(std::string_view meminfo, std::string_view key) {
  auto value = find_value(meminfo, key);
  if (!value) return 0;
  const auto kib = parse_number<std::uint64_t>(take_word(*value));
  return kib && *kib < unlimited_from / 1024 ? *kib * 1024 : 0;
}

// Before Linux 5.11 a v1 group could leave its descendants free of its limits.
void drop_levels_without_hierarchy(const tree& files, cgroup_chain& chain) {
  const auto is_apart = [&files](const cgroup& level) {
    const auto text = files.read(level.directory + "/memory.use_hierarchy");
    return text && trim(*text) == "0";
  };
  if (chain.version != cgroup_version::v1 || chain.levels.size() < 2) return;
  chain.levels.erase(std::remove_if(chain.levels.begin() + 1, chain.levels.end(), is_apart),
                     chain.levels.end());
}

}  // namespace

std::uint64_t memory::usable_bytes() const noexcept {
  if (!limit) return total_bytes;
  return total_bytes == 0 ? limit->value : std::min(limit->value, total_bytes);
}

memory read_memory(const tree& files) {
  memory m;
  if (const auto meminfo = files.read("proc/meminfo")) {
    m.total_bytes = find_kib(*meminfo, "MemTotal");
    m.available_bytes = find_kib(*meminfo, "MemAvailable");
  }
  std::vector<cgroup_chain> chains = find_cgroups(files, "memory");
  for (cgroup_chain& chain : chains) drop_levels_without_hierarchy(files, chain);
  m.limit = tightest_limit(files, chains, "memory.limit_in_bytes", "memory.max");
  if (m.limit && m.limit->value >= unlimited_from) m.limit.reset();
  return m;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
