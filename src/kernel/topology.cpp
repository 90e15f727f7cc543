#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/text.hpp>
#include <heddle/kernel/topology.hpp>

#if HEDDLE_HWLOC
#include "hwloc_topology.hpp"
#endif

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

constexpr int local_distance = 10;
constexpr int remote_distance = 20;

std::optional<int> read_number(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  return text ? parse_number<int>(*text) : std::nullopt;
}

std::optional<cpu_set> read_list(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  auto set = text ? cpu_set::parse(*text) : std::nullopt;
  if (set && set->empty()) return std::nullopt;
  return set;
}

std::string cpu_path(int id) { return "sys/devices/system/cpu/cpu" + std::to_string(id) + '/'; }

// The number behind a prefix, as in "node12".
std::optional<int> numbered(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto number = parse_number<int>(name.substr(prefix.size()));
  return number && *number >= 0 ? number : std::nullopt;
}

// "48K", "32768K", "2M".
std::uint64_t parse_size(std::string_view text) {
  text = trim(text);
  std::uint64_t unit = 1;
  if (text.ends_with('K')) unit = 1024;
  if (text.ends_with('M')) unit = std::uint64_t{1024} * 1024;
  if (unit != 1) text.remove_suffix(1);
  const auto number = parse_number<std::uint32_t>(text);
  return number ? *number * unit : 0;
}

// What tells cores apart. The list of siblings is the kernel's own answer; core_id repeats in each
// die and package, so it comes second.
using core_key = std::tuple<int, int, int>;

core_key read_core_key(const tree& files, int id, int package) {
  const std::string topology = cpu_path(id) + "topology/";
  for (const char* name : {"core_cpus_list", "thread_siblings_list"})
    if (const auto siblings = read_list(files, topology + name))
      if (siblings->contains(id)) return {-1, -1, siblings->front()};
  if (const auto core = read_number(files, topology + "core_id"); core && *core >= 0)
    return {package, read_number(files, topology + "die_id").value_or(0), *core};
  return {-1, -1, id};
}

std::vector<cpu> read_cpus(const tree& files, const cpu_set& online) {
  std::vector<cpu> cpus;
  cpus.reserve(static_cast<std::size_t>(online.size()));
  std::map<core_key, int> cores;
  for (const int id : online) {
    cpu c;
    c.id = id;
    // Some virtual machines say -1.
    c.package =
        std::max(0, read_number(files, cpu_path(id) + "topology/physical_package_id").value_or(0));
    c.core = cores.try_emplace(read_core_key(files, id, c.package), static_cast<int>(cores.size()))
                 .first->second;
    cpus.push_back(c);
  }
  return cpus;
}

// "Node 0 MemTotal:        4810964 kB"
std::uint64_t read_node_memory(const tree& files, const std::string& directory) {
  const auto text = files.read(directory + "meminfo");
  if (!text) return 0;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = take_until(rest, '\n');
    take_word(line);
    take_word(line);
    if (take_word(line) != "MemTotal:") continue;
    const auto kib = parse_number<std::uint64_t>(take_word(line));
    return kib && *kib < (std::uint64_t{1} << 50) ? *kib * 1024 : 0;
  }
  return 0;
}

std::vector<numa_node> read_nodes(const tree& files, const cpu_set& online) {
  std::vector<numa_node> nodes;
  const std::string all = "sys/devices/system/node/";
  for (const std::string& name : files.list(all)) {
    const auto id = numbered(name, "node");
    if (!id) continue;
    const std::string directory = all + name + '/';
    numa_node node;
    node.id = *id;
    node.cpus = read_list(files, directory + "cpulist").value_or(cpu_set{}) & online;
    node.memory_bytes = read_node_memory(files, directory);
    if (const auto distances = files.read(directory + "distance")) {
      for (std::string_view rest = *distances; !trim(rest).empty();)
        node.distances.push_back(parse_number<int>(take_word(rest)).value_or(0));
    }
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const numa_node& a, const numa_node& b) { return a.id < b.id; });
  if (nodes.empty()) nodes.push_back({0, online, 0, {}});
  for (numa_node& node : nodes)
    if (node.distances.size() != nodes.size()) node.distances.clear();
  return nodes;
}

std::optional<cache> read_cache(const tree& files, const std::string& directory,
                                cpu_set shared_by) {
  const auto level = read_number(files, directory + "level");
  const auto type = files.read(directory + "type");
  if (!level || *level < 1 || !type) return std::nullopt;
  cache c;
  c.level = *level;
  c.type = trim(*type) == "Data"          ? cache_type::data
           : trim(*type) == "Instruction" ? cache_type::instruction
                                          : cache_type::unified;
  if (const auto size = files.read(directory + "size")) c.size_bytes = parse_size(*size);
  const int line = read_number(files, directory + "coherency_line_size").value_or(0);
  c.line_bytes = static_cast<std::uint32_t>(std::max(0, line));
  c.shared_by = std::move(shared_by);
  return c;
}

std::vector<cache> read_caches(const tree& files, const cpu_set& online) {
  std::vector<cache> caches;
  std::set<std::pair<std::string, std::string>> seen;  // index and the CPUs that share it
  for (const int id : online) {
    const std::string all = cpu_path(id) + "cache/";
    for (const std::string& index : files.list(all)) {
      if (!numbered(index, "index")) continue;
      const std::string directory = all + index + '/';
      cpu_set shared_by =
          read_list(files, directory + "shared_cpu_list").value_or(cpu_set{}) & online;
      shared_by.insert(id);
      if (!seen.emplace(index, shared_by.to_string()).second) continue;
      if (auto c = read_cache(files, directory, std::move(shared_by)))
        caches.push_back(std::move(*c));
    }
  }
  std::sort(caches.begin(), caches.end(), [](const cache& a, const cache& b) {
    return std::tuple(a.level, a.type, a.shared_by.front()) <
           std::tuple(b.level, b.type, b.shared_by.front());
  });
  return caches;
}

template <class Number>
int count_distinct(const topology& machine, Number number) {
  std::set<int> distinct;
  for (const cpu& c : machine.cpus)
    if (machine.allowed.contains(c.id)) distinct.insert(number(c));
  return std::max(1, static_cast<int>(distinct.size()));
}

const cpu& require(const topology& machine, int id) {
  if (const cpu* found = machine.find(id)) return *found;
  throw std::invalid_argument("topology: CPU " + std::to_string(id) + " is not online");
}

}  // namespace

const cpu* topology::find(int id) const noexcept {
  const auto place = std::lower_bound(cpus.begin(), cpus.end(), id,
                                      [](const cpu& c, int wanted) { return c.id < wanted; });
  return place != cpus.end() && place->id == id ? &*place : nullptr;
}

int topology::physical_cores() const {
  return count_distinct(*this, [](const cpu& c) { return c.core; });
}

int topology::packages() const {
  return count_distinct(*this, [](const cpu& c) { return c.package; });
}

int topology::allowed_nodes() const {
  return count_distinct(*this, [](const cpu& c) { return c.node; });
}

proximity topology::distance(int one_cpu, int other_cpu) const {
  const cpu& one = require(*this, one_cpu);
  const cpu& other = require(*this, other_cpu);
  if (one.id == other.id) return proximity::same_cpu;
  if (one.core == other.core) return proximity::same_core;

  proximity nearest = proximity::machine;
  if (one.package == other.package) nearest = proximity::same_package;
  if (one.node == other.node) nearest = proximity::same_node;
  for (const cache& c : caches) {
    if (c.level < 2 || !c.shared_by.contains(one.id) || !c.shared_by.contains(other.id)) continue;
    nearest = std::min(nearest, c.level == 2 ? proximity::same_l2 : proximity::same_l3);
  }
  return nearest;
}

int topology::memory_distance(int one_cpu, int other_cpu) const {
  const int from = require(*this, one_cpu).node;
  const int to = require(*this, other_cpu).node;
  const auto position = [this](int id) {
    return std::find_if(nodes.begin(), nodes.end(),
                        [id](const numa_node& n) { return n.id == id; });
  };
  const auto source = position(from);
  const auto target = position(to);
  if (source != nodes.end() && target != nodes.end() && !source->distances.empty())
    return source->distances[static_cast<std::size_t>(target - nodes.begin())];
  return from == to ? local_distance : remote_distance;
}

topology read_cores(const tree& files) {
  topology machine;
  const cpu_set allowed = read_affinity(files);
  machine.online = read_list(files, "sys/devices/system/cpu/online").value_or(allowed);
  machine.allowed = machine.online & allowed;
  // Only if a CPU went away between the two reads.
  if (machine.allowed.empty()) machine.allowed = machine.online;
  machine.cpus = read_cpus(files, machine.online);
  machine.nodes = read_nodes(files, machine.online);
  for (cpu& c : machine.cpus)
    for (const numa_node& node : machine.nodes)
      if (node.cpus.contains(c.id)) c.node = node.id;
  return machine;
}

topology read_topology(const tree& files) {
#if HEDDLE_HWLOC
  if (files.live())
    if (auto machine = read_hwloc(read_affinity(files))) return *std::move(machine);
#endif
  topology machine = read_cores(files);
  machine.caches = read_caches(files, machine.online);
  return machine;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
