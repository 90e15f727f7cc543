#if HEDDLE_HWLOC

#include "hwloc_topology.hpp"

#include <hwloc.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

struct destroy_topology {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using owned_topology = std::unique_ptr<hwloc_topology, destroy_topology>;

owned_topology load(const char* synthetic) {
  hwloc_topology_t fresh = nullptr;
  if (hwloc_topology_init(&fresh) != 0) return nullptr;
  owned_topology loaded(fresh);
  hwloc_topology_set_icache_types_filter(fresh, HWLOC_TYPE_FILTER_KEEP_ALL);
  // All CPUs, as /sys has them, and without visiting each of them to ask the processor.
  const unsigned long flags =
      HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;
  if (hwloc_topology_set_flags(fresh, flags) != 0) return nullptr;
  if (synthetic != nullptr && hwloc_topology_set_synthetic(fresh, synthetic) != 0) return nullptr;
  if (hwloc_topology_load(fresh) != 0) return nullptr;
  if (synthetic == nullptr && hwloc_topology_is_thissystem(fresh) == 0) return nullptr;
  return loaded;
}

template <class Visit>
void for_each(hwloc_topology_t source, hwloc_obj_type_t type, Visit visit) {
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(source, type, object)) != nullptr) visit(*object);
}

cpu_set to_cpu_set(hwloc_const_bitmap_t bitmap) {
  cpu_set set;
  for (int id = hwloc_bitmap_first(bitmap); id >= 0; id = hwloc_bitmap_next(bitmap, id))
    set.insert(id);
  return set;
}

// 0 when the system gives none.
int number_of(const hwloc_obj* object) {
  if (object == nullptr || object->os_index == HWLOC_UNKNOWN_INDEX) return 0;
  return static_cast<int>(object->os_index);
}

void read_cpus(hwloc_topology_t source, topology& machine) {
  for_each(source, HWLOC_OBJ_PU, [&](hwloc_obj& unit) {
    cpu c;
    c.id = number_of(&unit);
    c.package = number_of(hwloc_get_ancestor_obj_by_type(source, HWLOC_OBJ_PACKAGE, &unit));
    // A CPU may have several: the others are memory of another kind, which comes after.
    c.node = std::max(0, hwloc_bitmap_first(unit.nodeset));
    const hwloc_obj* const core = hwloc_get_ancestor_obj_by_type(source, HWLOC_OBJ_CORE, &unit);
    c.core = static_cast<int>((core != nullptr ? core : &unit)->gp_index);
    machine.cpus.push_back(c);
  });
  std::sort(machine.cpus.begin(), machine.cpus.end(),
            [](const cpu& a, const cpu& b) { return a.id < b.id; });
  std::map<int, int> cores;
  for (cpu& c : machine.cpus) {
    c.core = cores.try_emplace(c.core, static_cast<int>(cores.size())).first->second;
    machine.online.insert(c.id);
  }
}

void read_nodes(hwloc_topology_t source, topology& machine) {
  for_each(source, HWLOC_OBJ_NUMANODE, [&](hwloc_obj& object) {
    numa_node node;
    node.id = number_of(&object);
    node.memory_bytes = object.attr->numanode.local_memory;
    for (const cpu& c : machine.cpus)
      if (c.node == node.id) node.cpus.insert(c.id);
    machine.nodes.push_back(std::move(node));
  });
  std::sort(machine.nodes.begin(), machine.nodes.end(),
            [](const numa_node& a, const numa_node& b) { return a.id < b.id; });
}

void read_distances(hwloc_topology_t source, topology& machine) {
  unsigned count = 1;
  hwloc_distances_s* matrix = nullptr;
  if (hwloc_distances_get_by_name(source, "NUMALatency", &count, &matrix, 0) != 0 || count == 0)
    return;
  const auto release = [source](hwloc_distances_s* d) { hwloc_distances_release(source, d); };
  const std::unique_ptr<hwloc_distances_s, decltype(release)> owner(matrix, release);
  const std::size_t size = matrix->nbobjs;
  if (size != machine.nodes.size()) return;
  std::map<int, std::size_t> position;
  for (std::size_t i = 0; i < size; ++i) position[number_of(matrix->objs[i])] = i;
  if (position.size() != size) return;
  for (numa_node& from : machine.nodes)
    for (const numa_node& to : machine.nodes)
      from.distances.push_back(
          static_cast<int>(matrix->values[position[from.id] * size + position[to.id]]));
}

cache_type type_of(hwloc_obj_cache_type_t type) {
  switch (type) {
    case HWLOC_OBJ_CACHE_DATA:
      return cache_type::data;
    case HWLOC_OBJ_CACHE_INSTRUCTION:
      return cache_type::instruction;
    case HWLOC_OBJ_CACHE_UNIFIED:
      break;
  }
  return cache_type::unified;
}

void read_caches(hwloc_topology_t source, topology& machine) {
  for (int type = HWLOC_OBJ_L1CACHE; type <= HWLOC_OBJ_L3ICACHE; ++type)
    for_each(source, static_cast<hwloc_obj_type_t>(type), [&](hwloc_obj& object) {
      const auto& attributes = object.attr->cache;
      cache c;
      c.level = static_cast<int>(attributes.depth);
      c.type = type_of(attributes.type);
      c.size_bytes = attributes.size;
      c.line_bytes = attributes.linesize;
      c.shared_by = to_cpu_set(object.cpuset);
      if (!c.shared_by.empty()) machine.caches.push_back(std::move(c));
    });
  std::sort(machine.caches.begin(), machine.caches.end(), [](const cache& a, const cache& b) {
    return std::tuple(a.level, a.type, a.shared_by.front()) <
           std::tuple(b.level, b.type, b.shared_by.front());
  });
}

}  // namespace

std::optional<topology> read_hwloc(const cpu_set& allowed, const char* synthetic) {
  const owned_topology loaded = load(synthetic);
  if (loaded == nullptr) return std::nullopt;
  topology machine;
  read_cpus(loaded.get(), machine);
  read_nodes(loaded.get(), machine);
  read_distances(loaded.get(), machine);
  read_caches(loaded.get(), machine);
  machine.allowed = machine.online & allowed;
  if (machine.allowed.empty() || machine.nodes.empty()) return std::nullopt;
  return machine;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel

#endif
