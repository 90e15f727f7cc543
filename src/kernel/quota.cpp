#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

struct bandwidth {
  std::int64_t quota, period;
};

std::optional<bandwidth> positive(std::optional<std::int64_t> quota,
                                  std::optional<std::int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return bandwidth{*quota, *period};
}

std::optional<std::int64_t> read_number(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  return text ? parse_number<std::int64_t>(*text) : std::nullopt;
}

// "150000 100000", or "max 100000" which is no number and so no limit.
std::optional<bandwidth> parse_cpu_max(std::string_view text) {
  const auto quota = parse_number<std::int64_t>(take_word(text));
  const auto period = parse_number<std::int64_t>(text);
  return positive(quota, period);
}

std::optional<cpu_quota> read_level(const tree& files, cgroup_version version,
                                    const cgroup& level) {
  std::optional<bandwidth> found;
  std::string file = level.directory;
  if (version == cgroup_version::v1) {
    file += "/cpu.cfs_quota_us";
    found = positive(read_number(files, file),
                     read_number(files, level.directory + "/cpu.cfs_period_us"));
  } else {
    file += "/cpu.max";
    if (const auto text = files.read(file)) found = parse_cpu_max(*text);
  }
  if (!found) return std::nullopt;
  return cpu_quota{std::chrono::microseconds(found->quota),
                   std::chrono::microseconds(found->period), version, level.name, std::move(file)};
}

struct free_mask {
  void operator()(cpu_set_t* mask) const noexcept { CPU_FREE(mask); }
};

// The kernel refuses a mask narrower than its own, and does not say how wide that is.
std::optional<cpu_set> affinity_of_this_thread() {
  for (int width = 1024; width <= cpu_set::limit; width *= 2) {
    const std::unique_ptr<cpu_set_t, free_mask> mask(CPU_ALLOC(static_cast<std::size_t>(width)));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(width));
    if (mask == nullptr) return std::nullopt;
    if (::sched_getaffinity(0, bytes, mask.get()) != 0) {
      if (errno == EINVAL) continue;
      return std::nullopt;
    }
    cpu_set allowed;
    for (int cpu = 0; cpu < width; ++cpu)
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, mask.get())) allowed.insert(cpu);
    return allowed;
  }
  return std::nullopt;
}

}  // namespace

std::optional<cpu_quota> read_cpu_quota(const tree& files) {
  return read_cpu_quota(files, find_cgroups(files, "cpu"));
}

std::optional<cpu_quota> read_cpu_quota(const tree& files,
                                        const std::vector<cgroup_chain>& groups) {
  std::optional<cpu_quota> tightest;
  for (const cgroup_chain& chain : groups) {
    for (const cgroup& level : chain.levels) {
      auto quota = read_level(files, chain.version, level);
      if (quota && (!tightest || quota->cores() < tightest->cores())) tightest = std::move(quota);
    }
  }
  return tightest;
}

cpu_set read_affinity(const tree& files) {
  if (files.live()) {
    const auto allowed = affinity_of_this_thread();
    if (allowed && !allowed->empty()) return *allowed;
  }
  if (const auto status = files.read("proc/self/status")) {
    const auto list = find_value(*status, "Cpus_allowed_list");
    const auto allowed = list ? cpu_set::parse(*list) : std::nullopt;
    if (allowed && !allowed->empty()) return *allowed;
  }
  if (const auto list = files.read("sys/devices/system/cpu/online")) {
    const auto online = cpu_set::parse(*list);
    if (online && !online->empty()) return *online;
  }
  return cpu_set::first(1);
}

double core_budget::usable() const noexcept {
  const double cpus = allowed;
  return quota ? std::min(cpus, quota->cores()) : cpus;
}

core_budget read_core_budget(const tree& files) {
  return core_budget{read_affinity(files).size(), read_cpu_quota(files)};
}

double usable_cores(const tree& files) { return read_core_budget(files).usable(); }

int whole_cores(double cores) {
  if (!(cores > 0) || !std::isfinite(cores))
    throw std::invalid_argument("whole_cores: " + std::to_string(cores) + " cores");
  constexpr double most = std::numeric_limits<int>::max();
  return static_cast<int>(std::min(std::ceil(cores), most));
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
