// Machines we do not have, as /proc and /sys would show them.
#pragma once

#include <string>

#include "fake_tree.hpp"

namespace heddle_test {

// An invented machine, described CPU by CPU.
class invented_machine : public fake_tree {
 public:
  invented_machine(const std::string& online, const std::string& allowed) {
    write("sys/devices/system/cpu/online", online + "\n");
    write("proc/self/status", "Cpus_allowed_list:\t" + allowed + "\n");
  }

  static std::string cpu(int id) { return "sys/devices/system/cpu/cpu" + std::to_string(id) + "/"; }

  void core(int id, int package, int core_id, const std::string& siblings = "") {
    write(cpu(id) + "topology/physical_package_id", std::to_string(package) + "\n");
    write(cpu(id) + "topology/core_id", std::to_string(core_id) + "\n");
    if (!siblings.empty()) write(cpu(id) + "topology/thread_siblings_list", siblings + "\n");
  }

  void cache_of(int id, int index, int level, const std::string& type, const std::string& size,
                const std::string& shared) {
    const std::string directory = cpu(id) + "cache/index" + std::to_string(index) + "/";
    write(directory + "level", std::to_string(level) + "\n");
    write(directory + "type", type + "\n");
    write(directory + "size", size + "\n");
    write(directory + "coherency_line_size", "64\n");
    write(directory + "shared_cpu_list", shared + "\n");
  }

  void node(int id, const std::string& cpus, const std::string& distances) {
    const std::string directory = "sys/devices/system/node/node" + std::to_string(id) + "/";
    write(directory + "cpulist", cpus + "\n");
    write(directory + "distance", distances + "\n");
    write(directory + "meminfo", "\nNode " + std::to_string(id) + " MemTotal:  1024 kB\n" +
                                     "Node " + std::to_string(id) + " MemFree:  512 kB\n");
  }
};

// 2 packages of 2 cores with 2 threads; siblings are n and n + 4; a node and an L3 for each
// package.
inline void build_two_sockets(invented_machine& m) {
  for (int id = 0; id < 8; ++id) {
    const int core = id % 4;
    const int package = core / 2;
    const std::string siblings = std::to_string(core) + "," + std::to_string(core + 4);
    const std::string socket = package == 0 ? "0-1,4-5" : "2-3,6-7";
    m.core(id, package, core % 2, siblings);
    m.cache_of(id, 0, 1, "Data", "48K", siblings);
    m.cache_of(id, 1, 1, "Instruction", "32K", siblings);
    m.cache_of(id, 2, 2, "Unified", "1024K", siblings);
    m.cache_of(id, 3, 3, "Unified", "32M", socket);
  }
  m.node(0, "0-1,4-5", "10 21");
  m.node(1, "2-3,6-7", "21 10");
}

// Cores 0-1 and 2-3 with two threads and an L2 each, clusters 4-7 and 8-11 of four small cores that
// share an L2; one L3 and one node for all.
inline void build_hybrid(invented_machine& m) {
  for (int id = 0; id < 12; ++id) {
    const bool small = id >= 4;
    const int group = small ? 4 : 2;
    const int first = id / group * group;
    const std::string sharers = std::to_string(first) + "-" + std::to_string(first + group - 1);
    m.core(id, 0, small ? id : first / 2, small ? std::to_string(id) : sharers);
    m.cache_of(id, 2, 2, "Unified", "2M", sharers);
    m.cache_of(id, 3, 3, "Unified", "24M", "0-11");
  }
  m.node(0, "0-11", "10");
}

}  // namespace heddle_test
