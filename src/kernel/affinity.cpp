#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

struct named_placement {
  std::string_view name;
  placement policy;
};

constexpr named_placement named_placements[] = {
    {"none", placement::none},
    {"compact", placement::compact},
    {"scatter", placement::scatter},
};

std::string_view name_of(placement policy) {
  for (const named_placement& known : named_placements)
    if (known.policy == policy) return known.name;
  return "listed";
}

// In the order of the text, other than a set. As long as a set can be, too.
std::optional<std::vector<int>> parse_list(std::string_view text) {
  std::vector<int> cpus;
  text = trim(text);
  if (text.empty() || text.back() == ',') return std::nullopt;
  while (!text.empty()) {
    const auto part = cpu_set::parse(take_until(text, ','));
    if (!part || part->empty()) return std::nullopt;
    if (cpus.size() + static_cast<std::size_t>(part->size()) > cpu_set::limit) return std::nullopt;
    cpus.insert(cpus.end(), part->begin(), part->end());
  }
  return cpus;
}

// What a CPU is part of, from the outside in.
enum level { package, node, l3, l2, core, levels };

struct place {
  int cpu = 0;
  int part_of[levels] = {};   // number of the part; caches are numbered by their place in the list
  std::vector<int> caches{};  // all of level 2 or more, in the topology's order
};

constexpr int no_cache = -1;

// Of `cpus`, in their order. Throws std::invalid_argument when one is not online.
std::vector<place> find_places(const topology& machine, const cpu_set& cpus) {
  std::vector<place> places;
  places.reserve(static_cast<std::size_t>(cpus.size()));
  for (const int id : cpus) {
    const cpu* const c = machine.find(id);
    if (c == nullptr)
      throw std::invalid_argument("affinity: cpu " + std::to_string(id) +
                                  " is not among the CPUs online " + machine.online.to_string());
    places.push_back({id, {c->package, c->node, no_cache, no_cache, c->core}, {}});
  }
  for (std::size_t i = 0; i < machine.caches.size(); ++i) {
    const cache& c = machine.caches[i];
    if (c.level < 2) continue;
    auto where = places.begin();
    for (const int id : c.shared_by) {
      where = std::find_if(where, places.end(), [id](const place& p) { return p.cpu >= id; });
      if (where == places.end()) break;
      if (where->cpu != id) continue;
      int& innermost = where->part_of[c.level == 2 ? l2 : l3];
      if (innermost == no_cache) innermost = static_cast<int>(i);
      where->caches.push_back(static_cast<int>(i));
    }
  }
  return places;
}

using group = std::vector<const place*>;

// The parts of `whole` at one level, in the order of their first CPUs.
std::vector<group> split(const group& whole, int by) {
  std::vector<group> parts;
  std::map<int, std::size_t> part_number;
  for (const place* const p : whole) {
    const auto [known, is_new] = part_number.try_emplace(p->part_of[by], parts.size());
    if (is_new) parts.emplace_back();
    parts[known->second].push_back(p);
  }
  return parts;
}

group one_after_another(const std::vector<group>& parts) {
  group all;
  for (const group& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

group in_turns(const std::vector<group>& parts) {
  std::size_t longest = 0;
  for (const group& part : parts) longest = std::max(longest, part.size());
  group all;
  for (std::size_t turn = 0; turn < longest; ++turn)
    for (const group& part : parts)
      if (turn < part.size()) all.push_back(part[turn]);
  return all;
}

// Splits down to the cores, and joins what comes back from below.
group arrange(const group& whole, group (*join)(const std::vector<group>&), int by = package) {
  if (by == levels || whole.size() < 2) return whole;
  std::vector<group> parts = split(whole, by);
  for (group& part : parts) part = arrange(part, join, by + 1);
  return join(parts);
}

group compact_order(const group& all) { return arrange(all, one_after_another); }

group scatter_order(const group& all) {
  std::map<int, std::size_t> seen_of_core;
  std::vector<group> siblings;  // the first CPUs of all cores, the second ones, ...
  for (const place* const p : all) {
    const std::size_t rank = seen_of_core[p->part_of[core]]++;
    if (rank == siblings.size()) siblings.emplace_back();
    siblings[rank].push_back(p);
  }
  for (group& rank : siblings) rank = arrange(rank, in_turns);
  return one_after_another(siblings);
}

// Every CPU that workers may be bound to, in the order in which they are.
std::vector<int> find_order(const topology& machine, placement policy) {
  const std::vector<place> places = find_places(machine, machine.allowed);
  group all;
  for (const place& p : places) all.push_back(&p);
  all = policy == placement::compact ? compact_order(all) : scatter_order(all);
  std::vector<int> order;
  order.reserve(all.size());
  for (const place* const p : all) order.push_back(p->cpu);
  return order;
}

void check(const topology& machine, const affinity& wish) {
  if (wish.policy != placement::listed) {
    if (!wish.cpus.empty())
      throw std::invalid_argument(
          "affinity: a list of CPUs goes with placement::listed, not with " +
          std::string(name_of(wish.policy)));
    return;
  }
  if (wish.cpus.empty()) throw std::invalid_argument("affinity: the list of CPUs is empty");
  for (const int cpu : wish.cpus)
    if (!machine.allowed.contains(cpu))
      throw std::invalid_argument("affinity: cpu " + std::to_string(cpu) +
                                  " is not among the allowed CPUs " + machine.allowed.to_string());
}

struct separation {
  proximity nearness = proximity::machine;
  int memory = 0;

  auto operator<=>(const separation&) const = default;
};

// As topology::distance(), which looks through all caches each time.
proximity nearness_of(const topology& machine, const place& one, const place& other) {
  if (one.cpu == other.cpu) return proximity::same_cpu;
  if (one.part_of[core] == other.part_of[core]) return proximity::same_core;
  proximity nearest = proximity::machine;
  if (one.part_of[package] == other.part_of[package]) nearest = proximity::same_package;
  if (one.part_of[node] == other.part_of[node]) nearest = proximity::same_node;
  for (const int shared : one.caches) {
    if (std::find(other.caches.begin(), other.caches.end(), shared) == other.caches.end()) continue;
    const bool is_l2 = machine.caches[static_cast<std::size_t>(shared)].level == 2;
    nearest = std::min(nearest, is_l2 ? proximity::same_l2 : proximity::same_l3);
  }
  return nearest;
}

}  // namespace

std::optional<affinity> affinity::parse(std::string_view text) {
  text = trim(text);
  for (const named_placement& known : named_placements)
    if (known.name == text) return affinity{known.policy, {}};
  auto cpus = parse_list(text);
  if (!cpus) return std::nullopt;
  return affinity{placement::listed, std::move(*cpus)};
}

std::string affinity::to_string() const {
  if (policy != placement::listed) return std::string(name_of(policy));
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[i]);
    if (last != i) text += '-' + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

std::vector<int> assign_cpus(const topology& machine, const affinity& wish, unsigned workers) {
  check(machine, wish);
  std::vector<int> assigned(workers, unbound);
  if (wish.policy == placement::none) return assigned;
  const std::vector<int> order =
      wish.policy == placement::listed ? wish.cpus : find_order(machine, wish.policy);
  if (order.empty()) throw std::invalid_argument("affinity: the topology allows no CPU");
  for (std::size_t i = 0; i < assigned.size(); ++i) assigned[i] = order[i % order.size()];
  return assigned;
}

steal_rings::steal_rings(unsigned slots) : outlooks_(1), outlook_of_slot_(slots, 0) {
  outlooks_[0].order.resize(slots);
  std::iota(outlooks_[0].order.begin(), outlooks_[0].order.end(), 0u);
  outlooks_[0].ends = {slots};
}

steal_rings::steal_rings(const topology& machine, std::span<const int> cpu_of_slot) {
  cpu_set used;
  for (const int cpu : cpu_of_slot)
    if (cpu != unbound) used.insert(cpu);
  const std::vector<place> places = find_places(machine, used);

  // Slots with the same CPU, the places in their order; last those without one.
  std::vector<std::vector<std::uint32_t>> slots_at(places.size() + 1);
  for (const int cpu : cpu_of_slot) {
    const auto position =
        std::find_if(places.begin(), places.end(), [cpu](const place& p) { return p.cpu == cpu; });
    const auto number = static_cast<std::uint32_t>(position - places.begin());
    slots_at[number].push_back(static_cast<std::uint32_t>(outlook_of_slot_.size()));
    outlook_of_slot_.push_back(number);
  }
  if (slots_at.back().empty()) slots_at.pop_back();

  constexpr separation unknown{proximity::machine, std::numeric_limits<int>::max()};
  outlooks_.resize(slots_at.size());
  for (std::size_t here = 0; here < slots_at.size(); ++here) {
    std::map<separation, std::vector<std::uint32_t>> rings;
    for (std::size_t there = 0; there < slots_at.size(); ++there) {
      separation apart = unknown;
      if (here < places.size() && there < places.size())
        apart = {nearness_of(machine, places[here], places[there]),
                 machine.memory_distance(places[here].cpu, places[there].cpu)};
      std::vector<std::uint32_t>& ring = rings[apart];
      ring.insert(ring.end(), slots_at[there].begin(), slots_at[there].end());
    }
    outlook& view = outlooks_[here];
    for (auto& [apart, ring] : rings) {
      std::sort(ring.begin(), ring.end());
      view.order.insert(view.order.end(), ring.begin(), ring.end());
      view.ends.push_back(static_cast<std::uint32_t>(view.order.size()));
    }
  }
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
