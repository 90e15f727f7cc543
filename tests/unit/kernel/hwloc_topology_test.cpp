// Builds with HEDDLE_HWLOC only.
#if HEDDLE_HWLOC

#include <gtest/gtest.h>

#include <cstdlib>
#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/topology.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "kernel/hwloc_topology.hpp"

namespace {

using namespace heddle::kernel;

// The files of the running machine, under a name that makes them look like a recorded tree.
topology read_files() { return read_topology(tree{"/proc/self/root"}); }

topology invented(const char* synthetic, int cpus) {
  const auto machine = read_hwloc(cpu_set::first(cpus), synthetic);
  if (!machine) throw std::runtime_error(std::string("hwloc refuses ") + synthetic);
  return *machine;
}

TEST(hwloc, agrees_with_the_kernels_files_about_this_machine) {
  const std::optional<topology> described = read_hwloc(read_affinity());
  ASSERT_TRUE(described);
  const topology& one = *described;
  const topology other = read_files();
  EXPECT_EQ(one.online, other.online);
  EXPECT_EQ(one.allowed, other.allowed);
  ASSERT_EQ(one.cpus.size(), other.cpus.size());
  for (std::size_t i = 0; i < one.cpus.size(); ++i) {
    EXPECT_EQ(one.cpus[i].id, other.cpus[i].id);
    EXPECT_EQ(one.cpus[i].core, other.cpus[i].core);
    EXPECT_EQ(one.cpus[i].package, other.cpus[i].package);
    EXPECT_EQ(one.cpus[i].node, other.cpus[i].node);
  }
  ASSERT_EQ(one.nodes.size(), other.nodes.size());
  for (std::size_t i = 0; i < one.nodes.size(); ++i) {
    EXPECT_EQ(one.nodes[i].id, other.nodes[i].id);
    EXPECT_EQ(one.nodes[i].cpus, other.nodes[i].cpus);
    EXPECT_EQ(one.nodes[i].memory_bytes, other.nodes[i].memory_bytes);
  }
  const auto facts = [](const topology& t) {
    std::vector<std::tuple<int, cache_type, std::uint64_t, std::uint32_t, std::string>> all;
    for (const cache& c : t.caches)
      all.emplace_back(c.level, c.type, c.size_bytes, c.line_bytes, c.shared_by.to_string());
    return all;
  };
  EXPECT_EQ(facts(one), facts(other));
  for (const int from : one.online)
    for (const int to : one.online) {
      EXPECT_EQ(one.distance(from, to), other.distance(from, to));
      EXPECT_EQ(one.memory_distance(from, to), other.memory_distance(from, to));
    }
}

TEST(hwloc, two_sockets_with_siblings) {
  const topology t = invented("pack:2 node:1 l3:1 l2:2 l1:1 core:1 pu:2", 8);
  EXPECT_EQ(t.online.to_string(), "0-7");
  EXPECT_EQ(t.physical_cores(), 4);
  EXPECT_EQ(t.packages(), 2);
  EXPECT_EQ(t.allowed_nodes(), 2);
  EXPECT_EQ(t.distance(0, 1), proximity::same_core);
  EXPECT_EQ(t.distance(0, 2), proximity::same_l3);
  EXPECT_EQ(t.distance(0, 4), proximity::machine);
  EXPECT_EQ(t.nodes[1].cpus.to_string(), "4-7");
  EXPECT_EQ(t.memory_distance(0, 3), 10);
  EXPECT_GT(t.memory_distance(0, 4), 10);
  EXPECT_EQ(assign_cpus(t, {placement::scatter, {}}, 8), (std::vector{0, 4, 2, 6, 1, 5, 3, 7}));
  EXPECT_EQ(assign_cpus(t, {placement::compact, {}}, 3), (std::vector{0, 1, 2}));
}

TEST(hwloc, a_second_kind_of_memory_has_no_cpus) {
  const topology t = invented("pack:2 [numa(memory=16GB)] [numa(memory=4GB)] core:2 pu:1", 4);
  ASSERT_EQ(t.nodes.size(), 4u);
  EXPECT_EQ(t.allowed_nodes(), 2) << "each CPU is in one node";
  int with_cpus = 0;
  for (const numa_node& n : t.nodes) with_cpus += n.cpus.empty() ? 0 : 1;
  EXPECT_EQ(with_cpus, 2);
}

TEST(hwloc, allowed_cpus_are_the_callers) {
  cpu_set allowed;
  allowed.insert(1);
  allowed.insert(9);
  const auto t = read_hwloc(allowed, "core:4 pu:1");
  ASSERT_TRUE(t);
  EXPECT_EQ(t->online.to_string(), "0-3");
  EXPECT_EQ(t->allowed.to_string(), "1");
}

TEST(hwloc, says_nothing_where_it_knows_nothing) {
  EXPECT_FALSE(read_hwloc(cpu_set::first(1), "no such notation"));
  EXPECT_FALSE(read_hwloc(cpu_set{}, "core:4 pu:1")) << "no CPU is allowed";
}

// Sets environment variables that hwloc obeys, for as long as it lives.
class hwloc_environment {
 public:
  hwloc_environment(const char* synthetic, bool is_this_machine) {
    ::setenv("HWLOC_SYNTHETIC", synthetic, 1);
    if (is_this_machine) ::setenv("HWLOC_THISSYSTEM", "1", 1);
  }
  hwloc_environment(const hwloc_environment&) = delete;
  hwloc_environment& operator=(const hwloc_environment&) = delete;
  ~hwloc_environment() {
    ::unsetenv("HWLOC_SYNTHETIC");
    ::unsetenv("HWLOC_THISSYSTEM");
  }
};

TEST(hwloc, is_what_read_topology_asks) {
  const hwloc_environment told("pack:3 core:64 pu:2", true);
  EXPECT_EQ(read_topology().online.size(), 384);
}

TEST(hwloc, another_machine_from_its_environment_is_not_this_one) {
  const hwloc_environment told("pack:3 core:64 pu:2", false);
  EXPECT_FALSE(read_hwloc(read_affinity()));
  EXPECT_EQ(read_topology().online, read_files().online) << "the kernel's files answer instead";
}

}  // namespace

#endif
