#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <heddle/kernel/affinity.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "invented_machine.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::build_hybrid;
using heddle_test::build_two_sockets;
using heddle_test::invented_machine;
using testing::ElementsAre;
using testing::HasSubstr;

using cpus = std::vector<int>;

const affinity compact{placement::compact, {}};
const affinity scatter{placement::scatter, {}};

affinity listed(cpus list) { return {placement::listed, std::move(list)}; }

cpus all_of(const topology& t, const affinity& wish) {
  return assign_cpus(t, wish, static_cast<unsigned>(t.allowed.size()));
}

std::string refusal(const topology& t, const affinity& wish) {
  try {
    assign_cpus(t, wish, 1);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}

topology two_sockets(const std::string& online = "0-7", const std::string& allowed = "0-7") {
  invented_machine m(online, allowed);
  build_two_sockets(m);
  return read_topology(m.files());
}

topology hybrid() {
  invented_machine m("0-11", "0-11");
  build_hybrid(m);
  return read_topology(m.files());
}

TEST(placement, none_binds_nobody) {
  EXPECT_THAT(assign_cpus(two_sockets(), {}, 3), ElementsAre(unbound, unbound, unbound));
}

TEST(placement, no_workers_need_no_cpus) {
  EXPECT_TRUE(assign_cpus(two_sockets(), compact, 0).empty());
  EXPECT_TRUE(assign_cpus(two_sockets(), {}, 0).empty());
}

TEST(placement, compact_fills_siblings_then_the_socket) {
  EXPECT_EQ(all_of(two_sockets(), compact), (cpus{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(placement, scatter_takes_sockets_in_turn_and_siblings_last) {
  EXPECT_EQ(all_of(two_sockets(), scatter), (cpus{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST(placement, more_workers_than_cpus_begin_again) {
  EXPECT_EQ(assign_cpus(two_sockets("0-7", "0,2"), compact, 5), (cpus{0, 2, 0, 2, 0}));
  EXPECT_EQ(assign_cpus(two_sockets(), listed({5, 1}), 3), (cpus{5, 1, 5}));
}

TEST(placement, fewer_workers_get_the_beginning) {
  const topology t = two_sockets();
  for (const affinity& wish : {compact, scatter, listed({3, 1, 2})}) {
    const cpus most = assign_cpus(t, wish, 20);
    for (unsigned n = 0; n < 20; ++n) {
      const cpus fewer = assign_cpus(t, wish, n);
      EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), most.begin())) << wish.to_string() << n;
    }
  }
}

TEST(placement, only_allowed_cpus_are_given) {
  const topology t = two_sockets("0-7", "1,5-6");
  EXPECT_EQ(all_of(t, compact), (cpus{1, 5, 6}));
  EXPECT_EQ(all_of(t, scatter), (cpus{1, 6, 5})) << "6 is the first allowed CPU of its core";
}

TEST(placement, cpus_offline_are_not_given) {
  const topology t = two_sockets("0-2,4-6", "0-7");
  EXPECT_EQ(all_of(t, compact), (cpus{0, 4, 1, 5, 2, 6}));
  EXPECT_EQ(all_of(t, scatter), (cpus{0, 2, 1, 4, 6, 5}));
}

TEST(placement, one_cpu) {
  invented_machine m("0", "0");
  const topology t = read_topology(m.files());
  EXPECT_EQ(assign_cpus(t, compact, 3), (cpus{0, 0, 0}));
  EXPECT_EQ(assign_cpus(t, scatter, 2), (cpus{0, 0}));
}

TEST(placement, clusters_of_a_hybrid_machine) {
  // Cores 0-1 have two threads and an L2 each; 4-7 and 8-11 are clusters of four with an L2 each.
  EXPECT_EQ(all_of(hybrid(), compact), (cpus{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(all_of(hybrid(), scatter), (cpus{0, 2, 4, 8, 5, 9, 6, 10, 7, 11, 1, 3}));
}

TEST(placement, interleaved_numbers) {
  // Even CPUs in package 0, odd ones in package 1, as some firmware counts.
  invented_machine m("0-7", "0-7");
  for (int id = 0; id < 8; ++id) m.core(id, id % 2, id / 2);
  m.node(0, "0,2,4,6", "10 20");
  m.node(1, "1,3,5,7", "20 10");
  const topology t = read_topology(m.files());
  EXPECT_EQ(all_of(t, compact), (cpus{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(all_of(t, scatter), (cpus{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(placement, groups_come_in_the_order_of_their_lowest_cpu) {
  invented_machine m("0-3", "0-3");
  for (int id = 0; id < 4; ++id) m.core(id, id < 2 ? 1 : 0, id);
  const topology t = read_topology(m.files());
  EXPECT_EQ(all_of(t, compact), (cpus{0, 1, 2, 3})) << "CPU 0 is in package 1";
  EXPECT_EQ(all_of(t, scatter), (cpus{0, 2, 1, 3}));
}

TEST(placement, nodes_and_l3_caches_within_a_package) {
  // One package, 2 nodes, 2 L3 caches in each, 2 cores at each.
  invented_machine m("0-7", "0-7");
  for (int id = 0; id < 8; ++id) {
    m.core(id, 0, id);
    const int first = id / 2 * 2;
    m.cache_of(id, 3, 3, "Unified", "16M", std::to_string(first) + "-" + std::to_string(first + 1));
  }
  m.node(0, "0-3", "10 12");
  m.node(1, "4-7", "12 10");
  const topology t = read_topology(m.files());
  EXPECT_EQ(all_of(t, compact), (cpus{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(all_of(t, scatter), (cpus{0, 4, 2, 6, 1, 5, 3, 7}));
}

TEST(placement, packages_of_different_sizes_take_turns_while_they_last) {
  invented_machine m("0-4", "0-4");
  for (int id = 0; id < 5; ++id) m.core(id, id == 0 ? 0 : 1, id);
  EXPECT_EQ(all_of(read_topology(m.files()), scatter), (cpus{0, 1, 2, 3, 4}));
}

TEST(placement, a_machine_that_tells_nothing) {
  invented_machine m("0-3", "0-3");
  const topology t = read_topology(m.files());
  EXPECT_EQ(all_of(t, compact), (cpus{0, 1, 2, 3}));
  EXPECT_EQ(all_of(t, scatter), (cpus{0, 1, 2, 3}));
}

// 2 packages of 512 cores with 2 threads and an L2; a node and an L3 for each package.
topology large_machine() {
  topology t;
  t.online = t.allowed = cpu_set::first(2048);
  t.nodes.resize(2);
  for (int i = 0; i < 2; ++i) {
    t.nodes[static_cast<std::size_t>(i)].id = i;
    t.nodes[static_cast<std::size_t>(i)].distances = i == 0 ? cpus{10, 21} : cpus{21, 10};
  }
  for (int core = 0; core < 1024; ++core) {
    cache l2;
    l2.level = 2;
    l2.shared_by.insert(core);
    l2.shared_by.insert(core + 1024);
    t.caches.push_back(l2);
  }
  for (int id = 0; id < 2048; ++id) {
    const int core = id % 1024;
    t.cpus.push_back({id, core, core / 512, core / 512});
    t.nodes[static_cast<std::size_t>(core / 512)].cpus.insert(id);
  }
  for (const numa_node& n : t.nodes) t.caches.push_back({3, cache_type::unified, 0, 0, n.cpus});
  return t;
}

TEST(placement, thousands_of_cpus) {
  const topology t = large_machine();
  const cpus near = all_of(t, compact);
  const cpus far = all_of(t, scatter);
  for (std::size_t i = 0; i < 1024; ++i) {
    const int core = static_cast<int>(i);
    EXPECT_EQ(near[2 * i], core);
    EXPECT_EQ(near[2 * i + 1], core + 1024);
    EXPECT_EQ(far[i], core / 2 + core % 2 * 512);
    EXPECT_EQ(far[i + 1024], far[i] + 1024);
  }
  EXPECT_EQ(assign_cpus(t, listed({70, 2047}), 3), (cpus{70, 2047, 70}));
}

TEST(placement, every_order_has_each_allowed_cpu_once) {
  for (const topology& t : {two_sockets(), two_sockets("0-7", "1,5-6"), hybrid(), large_machine()})
    for (const affinity& wish : {compact, scatter}) {
      cpus order = all_of(t, wish);
      std::sort(order.begin(), order.end());
      EXPECT_EQ(order, cpus(t.allowed.begin(), t.allowed.end())) << wish.to_string();
    }
}

TEST(placement, a_list_is_taken_as_it_is) {
  EXPECT_EQ(assign_cpus(two_sockets(), listed({7, 0, 0, 3}), 4), (cpus{7, 0, 0, 3}));
}

TEST(placement, a_cpu_outside_the_mask_is_refused_and_named) {
  EXPECT_EQ(refusal(two_sockets("0-7", "0-1"), listed({0, 7})),
            "affinity: cpu 7 is not among the allowed CPUs 0-1");
  EXPECT_EQ(refusal(two_sockets("0-2,4-6", "0-7"), listed({3})),
            "affinity: cpu 3 is not among the allowed CPUs 0-2,4-6");
  EXPECT_THAT(refusal(two_sockets(), listed({-1})), HasSubstr("cpu -1 is not"));
  EXPECT_THAT(refusal(two_sockets(), listed({1 << 30})), HasSubstr("cpu 1073741824 is not"));
}

TEST(placement, a_list_that_is_empty_or_not_asked_for_is_refused) {
  EXPECT_EQ(refusal(two_sockets(), listed({})), "affinity: the list of CPUs is empty");
  EXPECT_EQ(refusal(two_sockets(), {placement::compact, {1}}),
            "affinity: a list of CPUs goes with placement::listed, not with compact");
  EXPECT_THAT(refusal(two_sockets(), {placement::none, {1}}), HasSubstr("not with none"));
}

TEST(placement, a_topology_without_cpus_is_refused) {
  EXPECT_EQ(refusal(topology{}, compact), "affinity: the topology allows no CPU");
}

TEST(placement, text) {
  EXPECT_EQ(affinity::parse("none"), affinity{});
  EXPECT_EQ(affinity::parse(" compact\n"), compact);
  EXPECT_EQ(affinity::parse("scatter"), scatter);
  EXPECT_EQ(affinity::parse("0-3,8"), listed({0, 1, 2, 3, 8}));
  EXPECT_EQ(affinity::parse("8,0-2,1"), listed({8, 0, 1, 2, 1})) << "order and repetition count";
  EXPECT_EQ(affinity::parse("0-7:1/2"), listed({0, 2, 4, 6}));
  EXPECT_EQ(affinity::parse("5"), listed({5}));
}

TEST(placement, text_that_is_none) {
  for (const char* text : {"", " ", "Compact", "compact,1", "0-", "-1", "1,,2", ",1", "1,", "3-1",
                           "0x1", "1 2", "131072", "0-131071,0", "listed"})
    EXPECT_EQ(affinity::parse(text), std::nullopt) << text;
}

TEST(placement, text_there_and_back) {
  EXPECT_EQ(affinity{}.to_string(), "none");
  EXPECT_EQ(compact.to_string(), "compact");
  EXPECT_EQ(scatter.to_string(), "scatter");
  EXPECT_EQ(listed({8, 0, 1, 2, 1}).to_string(), "8,0-2,1");
  for (const char* text : {"none", "compact", "scatter", "0-3,8", "8,0-2,1", "7"})
    EXPECT_EQ(affinity::parse(text)->to_string(), text);
}

std::vector<std::vector<std::uint32_t>> rings_of(const steal_rings& all, unsigned slot) {
  std::vector<std::vector<std::uint32_t>> rings;
  for (std::size_t i = 0; i < all.rings(slot); ++i) {
    const auto ring = all.ring(slot, i);
    rings.emplace_back(ring.begin(), ring.end());
  }
  return rings;
}

using ring_list = std::vector<std::vector<std::uint32_t>>;

TEST(steal_rings, unbound_slots_are_one_ring) {
  const steal_rings rings(3);
  EXPECT_EQ(rings.slots(), 3u);
  for (unsigned slot = 0; slot < 3; ++slot)
    EXPECT_EQ(rings_of(rings, slot), (ring_list{{0, 1, 2}}));
  EXPECT_EQ(steal_rings(0).slots(), 0u);

  const steal_rings given(two_sockets(), assign_cpus(two_sockets(), {}, 3));
  for (unsigned slot = 0; slot < 3; ++slot)
    EXPECT_EQ(rings_of(given, slot), (ring_list{{0, 1, 2}}));
}

TEST(steal_rings, two_sockets) {
  const topology t = two_sockets();
  const steal_rings rings(t, cpus{0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(rings_of(rings, 0), (ring_list{{0}, {4}, {1, 5}, {2, 3, 6, 7}}));
  EXPECT_EQ(rings_of(rings, 7), (ring_list{{7}, {3}, {2, 6}, {0, 1, 4, 5}}));
  const steal_rings spread(t, assign_cpus(t, scatter, 4));
  EXPECT_EQ(rings_of(spread, 0), (ring_list{{0}, {2}, {1, 3}})) << "on the CPUs 0 2 1 3";
}

TEST(steal_rings, clusters_of_a_hybrid_machine) {
  const topology t = hybrid();
  const steal_rings rings(t, all_of(t, compact));
  EXPECT_EQ(rings_of(rings, 0), (ring_list{{0}, {1}, {2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}));
  EXPECT_EQ(rings_of(rings, 9), (ring_list{{9}, {8, 10, 11}, {0, 1, 2, 3, 4, 5, 6, 7}}));
}

TEST(steal_rings, slots_on_the_same_cpu_are_nearest) {
  const steal_rings rings(two_sockets(), cpus{0, 2, 0, 4});
  EXPECT_EQ(rings_of(rings, 0), (ring_list{{0, 2}, {3}, {1}}));
  EXPECT_EQ(rings_of(rings, 2), rings_of(rings, 0));
}

TEST(steal_rings, slots_with_and_without_a_cpu) {
  const steal_rings rings(two_sockets(), cpus{0, unbound, 4, unbound, 2});
  EXPECT_EQ(rings_of(rings, 0), (ring_list{{0}, {2}, {4}, {1, 3}}));
  EXPECT_EQ(rings_of(rings, 3), (ring_list{{0, 1, 2, 3, 4}}));
}

TEST(steal_rings, memory_decides_among_equally_distant_packages) {
  // Four packages in a ring.
  invented_machine m("0-3", "0-3");
  for (int id = 0; id < 4; ++id) m.core(id, id, 0);
  m.node(0, "0", "10 16 22 16");
  m.node(1, "1", "16 10 16 22");
  m.node(2, "2", "22 16 10 16");
  m.node(3, "3", "16 22 16 10");
  const steal_rings rings(read_topology(m.files()), cpus{0, 1, 2, 3});
  EXPECT_EQ(rings_of(rings, 0), (ring_list{{0}, {1, 3}, {2}}));
  EXPECT_EQ(rings_of(rings, 1), (ring_list{{1}, {0, 2}, {3}}));
}

TEST(steal_rings, agree_with_the_topologys_distances) {
  for (const topology& t : {two_sockets(), two_sockets("0-2,4-6", "0-7"), hybrid()}) {
    const cpus on = all_of(t, scatter);
    const steal_rings rings(t, on);
    for (unsigned slot = 0; slot < rings.slots(); ++slot) {
      const auto distance = [&](std::uint32_t other) {
        return std::pair(t.distance(on[slot], on[other]), t.memory_distance(on[slot], on[other]));
      };
      std::set<std::uint32_t> seen;
      auto last = std::pair(proximity::same_cpu, -1);
      for (std::size_t i = 0; i < rings.rings(slot); ++i) {
        const auto ring = rings.ring(slot, i);
        ASSERT_FALSE(ring.empty());
        EXPECT_GT(distance(ring.front()), last);
        last = distance(ring.front());
        for (const std::uint32_t other : ring) {
          EXPECT_EQ(distance(other), last);
          EXPECT_TRUE(seen.insert(other).second);
        }
      }
      EXPECT_EQ(seen.size(), on.size());
      EXPECT_EQ(rings.ring(slot, 0).front(), slot);
    }
  }
}

TEST(steal_rings, thousands_of_slots) {
  const topology t = large_machine();
  const steal_rings rings(t, all_of(t, compact));
  EXPECT_EQ(rings.slots(), 2048u);
  for (const unsigned slot : {0u, 1000u, 2047u}) {
    ASSERT_EQ(rings.rings(slot), 4u) << "itself, its sibling, its package, the other one";
    EXPECT_THAT(rings.ring(slot, 0), ElementsAre(slot));
    EXPECT_THAT(rings.ring(slot, 1), ElementsAre(slot ^ 1u));
    EXPECT_EQ(rings.ring(slot, 2).size(), 1022u);
    EXPECT_EQ(rings.ring(slot, 3).size(), 1024u);
  }
}

TEST(steal_rings, a_cpu_that_is_not_there_is_refused) {
  try {
    const steal_rings rings(two_sockets(), cpus{0, 9});
    FAIL() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(e.what(), "affinity: cpu 9 is not among the CPUs online 0-7");
  }
}

TEST(steal_rings, of_this_machine) {
  const topology t = read_topology();
  const cpus on = assign_cpus(t, compact, static_cast<unsigned>(t.allowed.size()) + 1);
  EXPECT_TRUE(std::all_of(on.begin(), on.end(), [&](int cpu) { return t.allowed.contains(cpu); }));
  const steal_rings rings(t, on);
  EXPECT_THAT(rings.ring(0, 0), testing::SizeIs(2)) << "the first CPU has two workers";
}

}  // namespace
