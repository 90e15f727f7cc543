// Which CPUs there are, and how near they are to each other.
#pragma once

#include <cstdint>
#include <vector>

#include <heddle/kernel/cpu_set.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

enum class cache_type : unsigned char { data, instruction, unified };

struct cache {
  int level = 0;
  cache_type type = cache_type::unified;
  std::uint64_t size_bytes = 0;
  std::uint32_t line_bytes = 0;
  cpu_set shared_by;  // never empty
};

struct cpu {
  int id = 0;
  int core = 0;     // SMT siblings have the same; numbered from 0 in the order of their first CPU
  int package = 0;  // the kernel's number; 0 when it gives none
  int node = 0;     // NUMA
};

struct numa_node {
  int id = 0;
  cpu_set cpus;
  std::uint64_t memory_bytes = 0;  // 0 when unknown
  std::vector<int> distances;      // to each node of `topology::nodes`; 10 is local. May be empty.
};

// How much two CPUs share, nearest first: the order in which to look for a victim to steal from.
enum class proximity : unsigned char {
  same_cpu,
  same_core,     // SMT siblings
  same_l2,       // a level 2 cache, as in core clusters
  same_l3,       // a cache of level 3 or more
  same_node,     // local memory
  same_package,  // the socket
  machine,
};

// A picture of one moment: CPUs come, go and are forbidden while a program runs.
struct topology {
  cpu_set online;
  cpu_set allowed;               // those online that the calling thread may run on; never empty
  std::vector<cpu> cpus;         // all online, by id
  std::vector<numa_node> nodes;  // by id; at least one
  std::vector<cache> caches;     // by level, type, first CPU; those of CPUs online

  // Null for a CPU that is not online.
  HEDDLE_API const cpu* find(int id) const noexcept;

  // Distinct cores, packages and nodes among the allowed CPUs; at least 1.
  HEDDLE_API int physical_cores() const;
  HEDDLE_API int packages() const;
  HEDDLE_API int allowed_nodes() const;

  // Throws std::invalid_argument when one of them is not online. Linear in the number of caches.
  HEDDLE_API proximity distance(int one_cpu, int other_cpu) const;

  // The firmware's relative memory distance between the nodes of two CPUs, 10 being local; when it
  // gives none: 10 in the same node, 20 otherwise. Throws as distance().
  HEDDLE_API int memory_distance(int one_cpu, int other_cpu) const;
};

// Everything above. What the files do not tell is filled in with the simplest machine they allow:
// a CPU of unknown topology is a core of its own, everything is in package 0 and node 0. CPUs that
// are not online are left out. Costs some 25 small files or 150 µs a CPU: read it once at the
// start, not in a loop.
// Built with HEDDLE_HWLOC, a live tree is described by hwloc instead, unless that fails.
HEDDLE_API topology read_topology(const tree& files = tree{});

// The same without caches: some 30 µs a CPU.
HEDDLE_API topology read_cores(const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
