#include <algorithm>
#include <string>

#include <heddle/kernel/text.hpp>
#include <heddle/kernel/throttling.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

std::optional<std::uint64_t> find_count(std::string_view text, std::string_view key) {
  const auto value = find_value(text, key);
  return value ? parse_number<std::uint64_t>(*value) : std::nullopt;
}

double growth(std::uint64_t before, std::uint64_t after) {
  return after > before ? static_cast<double>(after - before) : 0;
}

// Each of the two bounds it from above.
double share_of_level(const throttling& before, const throttling& after,
                      std::chrono::nanoseconds apart) {
  const double periods = growth(before.periods, after.periods);
  const double throttled = growth(before.throttled_periods, after.throttled_periods);
  const double of_periods = periods > 0 ? throttled / periods : 1;
  const auto pause = static_cast<double>((after.throttled_time - before.throttled_time).count());
  const double of_time = pause / static_cast<double>(apart.count());
  return std::clamp(std::min(of_periods, of_time), 0.0, 1.0);
}

}  // namespace

std::optional<throttling> parse_throttling(std::string_view text, cgroup_version version) {
  const bool v2 = version == cgroup_version::v2;
  const auto periods = find_count(text, "nr_periods");
  const auto throttled = find_count(text, "nr_throttled");
  const auto time = find_count(text, v2 ? "throttled_usec" : "throttled_time");
  if (!periods || !throttled || !time) return std::nullopt;
  const auto count = static_cast<std::int64_t>(*time);
  return throttling{*periods, *throttled,
                    v2 ? std::chrono::microseconds(count) : std::chrono::nanoseconds(count)};
}

std::vector<throttling> read_throttling(const tree& files,
                                        const std::vector<cgroup_chain>& groups) {
  std::vector<throttling> all;
  for (const cgroup_chain& chain : groups) {
    for (const cgroup& level : chain.levels) {
      const auto text = files.read(level.directory + "/cpu.stat");
      const auto read = text ? parse_throttling(*text, chain.version) : std::nullopt;
      all.push_back(read.value_or(throttling{}));
    }
  }
  return all;
}

double throttled_share(const std::vector<throttling>& before, const std::vector<throttling>& after,
                       std::chrono::nanoseconds apart) {
  if (before.size() != after.size() || apart.count() <= 0) return 0;
  double most = 0;
  for (std::size_t i = 0; i < before.size(); ++i)
    most = std::max(most, share_of_level(before[i], after[i], apart));
  return most;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
