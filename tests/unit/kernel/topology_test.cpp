#include <gtest/gtest.h>

#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/topology.hpp>
#include <stdexcept>
#include <string>

#include "fake_tree.hpp"
#include "invented_machine.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::build_two_sockets;
using heddle_test::fake_tree;
using machine = heddle_test::invented_machine;

TEST(topology, smt_siblings_are_one_core) {
  machine m("0-7", "0-7");
  build_two_sockets(m);
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.online.size(), 8);
  EXPECT_EQ(t.physical_cores(), 4);
  EXPECT_EQ(t.packages(), 2);
  EXPECT_EQ(t.allowed_nodes(), 2);
  EXPECT_EQ(t.find(1)->core, t.find(5)->core);
  EXPECT_NE(t.find(1)->core, t.find(0)->core);
  EXPECT_EQ(t.find(6)->package, 1);
  EXPECT_EQ(t.find(6)->node, 1);
  EXPECT_EQ(t.find(8), nullptr);
}

TEST(topology, only_allowed_cpus_are_counted) {
  machine m("0-7", "1,5-6");
  build_two_sockets(m);
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.allowed.to_string(), "1,5-6");
  EXPECT_EQ(t.cpus.size(), 8u);
  EXPECT_EQ(t.physical_cores(), 2) << "1 and 5 are siblings";
  EXPECT_EQ(t.packages(), 2);
}

TEST(topology, cpus_offline_are_left_out) {
  machine m("0-2,4-6", "0-7");
  build_two_sockets(m);
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.allowed.to_string(), "0-2,4-6");
  EXPECT_EQ(t.find(3), nullptr);
  EXPECT_EQ(t.physical_cores(), 3);
  for (const cache& c : t.caches) EXPECT_FALSE(c.shared_by.contains(3)) << c.level;
  for (const numa_node& n : t.nodes) EXPECT_FALSE(n.cpus.contains(7)) << n.id;
}

TEST(topology, each_cache_is_listed_once) {
  machine m("0-7", "0-7");
  build_two_sockets(m);
  const topology t = read_topology(m.files());
  ASSERT_EQ(t.caches.size(), 14u);  // 4 L1d, 4 L1i, 4 L2, 2 L3
  EXPECT_EQ(t.caches[0].level, 1);
  EXPECT_EQ(t.caches[0].type, cache_type::data);
  EXPECT_EQ(t.caches[0].size_bytes, 48u * 1024);
  EXPECT_EQ(t.caches[0].line_bytes, 64u);
  EXPECT_EQ(t.caches[0].shared_by.to_string(), "0,4");
  EXPECT_EQ(t.caches[4].type, cache_type::instruction);
  EXPECT_EQ(t.caches[12].level, 3);
  EXPECT_EQ(t.caches[12].size_bytes, 32u * 1024 * 1024);
  EXPECT_EQ(t.caches[13].shared_by.to_string(), "2-3,6-7");
  EXPECT_TRUE(read_cores(m.files()).caches.empty());
}

TEST(topology, distances) {
  machine m("0-7", "0-7");
  build_two_sockets(m);
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.distance(0, 0), proximity::same_cpu);
  EXPECT_EQ(t.distance(0, 4), proximity::same_core);
  EXPECT_EQ(t.distance(0, 1), proximity::same_l3);
  EXPECT_EQ(t.distance(0, 2), proximity::machine);
  EXPECT_EQ(t.distance(2, 0), proximity::machine);
  EXPECT_EQ(t.memory_distance(0, 5), 10);
  EXPECT_EQ(t.memory_distance(0, 2), 21);
  EXPECT_LT(proximity::same_core, proximity::same_l2);
}

TEST(topology, distances_without_caches) {
  machine m("0-7", "0-7");
  build_two_sockets(m);
  const topology t = read_cores(m.files());
  EXPECT_EQ(t.distance(0, 1), proximity::same_node);
  EXPECT_EQ(t.distance(0, 4), proximity::same_core);
  EXPECT_EQ(t.distance(0, 3), proximity::machine);
}

TEST(topology, clusters_that_share_l2_and_nodes_within_a_package) {
  machine m("0-3", "0-3");
  for (int id = 0; id < 4; ++id) {
    m.core(id, 0, id, std::to_string(id));
    m.cache_of(id, 0, 1, "Data", "32K", std::to_string(id));
    m.cache_of(id, 2, 2, "Unified", "2M", id < 2 ? "0-1" : "2-3");
  }
  m.node(0, "0-2", "10 12");
  m.node(1, "3", "12 10");
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.distance(0, 1), proximity::same_l2);
  EXPECT_EQ(t.distance(2, 3), proximity::same_l2) << "a shared cache is nearer than a node";
  EXPECT_EQ(t.distance(0, 2), proximity::same_node);
  EXPECT_EQ(t.distance(0, 3), proximity::same_package);
}

TEST(topology, distance_of_a_cpu_that_is_not_there_names_it) {
  machine m("0-1", "0-1");
  const topology t = read_topology(m.files());
  EXPECT_THROW(t.distance(0, 7), std::invalid_argument);
  EXPECT_THROW(t.memory_distance(-1, 0), std::invalid_argument);
  try {
    t.distance(7, 0);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("CPU 7"), std::string::npos) << e.what();
  }
}

TEST(topology, core_ids_repeat_in_packages_and_dies) {
  machine m("0-3", "0-3");
  m.core(0, 0, 0);
  m.core(1, 1, 0);
  m.core(2, 1, 0);
  m.core(3, 1, 0);
  m.write(machine::cpu(3) + "topology/die_id", "1\n");
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.physical_cores(), 3);
  EXPECT_EQ(t.find(1)->core, t.find(2)->core);
  EXPECT_NE(t.find(2)->core, t.find(3)->core);
}

TEST(topology, nothing_known_makes_every_cpu_a_core) {
  machine m("0-3", "0-3");
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.physical_cores(), 4);
  EXPECT_EQ(t.packages(), 1);
  ASSERT_EQ(t.nodes.size(), 1u);
  EXPECT_EQ(t.nodes[0].cpus.to_string(), "0-3");
  EXPECT_TRUE(t.caches.empty());
  EXPECT_EQ(t.distance(0, 3), proximity::same_node);
  EXPECT_EQ(t.memory_distance(0, 3), 10);
}

TEST(topology, an_empty_tree_has_one_cpu) {
  const fake_tree fake;
  const topology t = read_topology(fake.files());
  EXPECT_EQ(t.online.to_string(), "0");
  EXPECT_EQ(t.allowed.to_string(), "0");
  EXPECT_EQ(t.physical_cores(), 1);
}

TEST(topology, malformed_files_are_as_good_as_missing) {
  machine m("0-1", "0-1");
  for (int id = 0; id < 2; ++id) {
    m.write(machine::cpu(id) + "topology/physical_package_id", "-1\n");
    m.write(machine::cpu(id) + "topology/core_id", "zero\n");
    m.write(machine::cpu(id) + "topology/thread_siblings_list", "0-\n");
    m.cache_of(id, 0, -7, "Data", "48K", "0-1");
    m.cache_of(id, 1, 1, "Instruction", "huge", "nonsense");
    m.write(machine::cpu(id) + "cache/index2/shared_cpu_list", "0-1\n");
    m.write(machine::cpu(id) + "cache/uevent", "");
  }
  m.node(0, "0-1", "10 20 30");
  m.write("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: many kB\n");
  m.write("sys/devices/system/node/nodeX/cpulist", "0-1\n");
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.physical_cores(), 2);
  EXPECT_EQ(t.find(0)->package, 0);
  ASSERT_EQ(t.caches.size(), 2u) << "those of index1, one for each CPU";
  EXPECT_EQ(t.caches[0].size_bytes, 0u);
  EXPECT_EQ(t.caches[1].shared_by.to_string(), "1");
  ASSERT_EQ(t.nodes.size(), 1u);
  EXPECT_EQ(t.nodes[0].memory_bytes, 0u);
  EXPECT_TRUE(t.nodes[0].distances.empty()) << "three distances for one node";
}

TEST(topology, siblings_that_do_not_list_the_cpu_itself_are_not_believed) {
  machine m("0-1", "0-1");
  m.core(0, 0, 0, "0");
  m.core(1, 0, 1, "0");
  EXPECT_EQ(read_topology(m.files()).physical_cores(), 2);
}

TEST(topology, node_numbers_may_have_gaps) {
  machine m("0-3", "0-3");
  m.node(0, "0-1", "10 30 40");
  m.node(9, "", "30 10 40");
  m.node(10, "2-3", "40 40 10");
  const topology t = read_topology(m.files());
  ASSERT_EQ(t.nodes.size(), 3u);
  EXPECT_EQ(t.nodes[1].id, 9);
  EXPECT_TRUE(t.nodes[1].cpus.empty()) << "memory without CPUs";
  EXPECT_EQ(t.nodes[2].memory_bytes, 1024u * 1024);
  EXPECT_EQ(t.memory_distance(0, 3), 40);
  EXPECT_EQ(t.allowed_nodes(), 2);
}

TEST(topology, hundreds_of_cpus) {
  constexpr int count = 2048;
  machine m("0-2047", "0-1535,1600");
  for (int id = 0; id < count; ++id) {
    const int core = id % (count / 2);
    m.core(id, core / 512, core % 512, std::to_string(core) + "," + std::to_string(core + 1024));
  }
  const topology t = read_topology(m.files());
  EXPECT_EQ(t.online.size(), count);
  EXPECT_EQ(t.allowed.size(), 1537);
  EXPECT_EQ(t.physical_cores(), 1024);
  EXPECT_EQ(t.packages(), 2);
  EXPECT_EQ(t.distance(3, 1027), proximity::same_core);
  EXPECT_EQ(usable_cores(m.files()), 1537);
}

TEST(topology, of_this_machine) {
  const topology t = read_topology();
  EXPECT_EQ(t.allowed, t.online & read_affinity());
  EXPECT_GE(t.physical_cores(), 1);
  EXPECT_LE(t.physical_cores(), t.allowed.size());
  EXPECT_LE(t.packages(), t.physical_cores());
  for (const cache& c : t.caches) EXPECT_FALSE(c.shared_by.empty());
  for (const int one : t.online) EXPECT_EQ(t.distance(one, one), proximity::same_cpu);
}

}  // namespace
