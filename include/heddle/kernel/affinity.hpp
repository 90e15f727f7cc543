// Which CPU each of several workers belongs on, and which of them are near to which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/kernel/topology.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

enum class placement : unsigned char {
  none,     // the kernel moves workers as it likes, within the mask they inherit
  compact,  // as near to each other as possible: they share caches, and leave cores to others
  scatter,  // as far from each other as possible: each has the most cache and memory bandwidth
  listed,   // on the CPUs of a list, in its order
};

struct affinity {
  placement policy = placement::none;
  std::vector<int> cpus{};  // for placement::listed and no other

  // "none", "compact", "scatter", or a list in the kernel's syntax, "8,0-3", whose order counts and
  // where a CPU may come twice. Nothing when the text is anything else.
  HEDDLE_API static std::optional<affinity> parse(std::string_view text);

  // What parse() reads as the same.
  HEDDLE_API std::string to_string() const;

  friend bool operator==(const affinity&, const affinity&) = default;
};

// A worker that is bound to no CPU.
inline constexpr int unbound = -1;

// The CPU of each of `workers` workers, or `unbound` for all of them with placement::none. Only
// CPUs that the topology allows. More workers than CPUs begin again at the first CPU, so that the
// answer for n workers is the beginning of the answer for more.
//
// compact: the CPUs of one core, then the next core with the same L2 cache, then the next L2 with
// the same L3, then the next L3 in the NUMA node, the next node in the package, the next package.
// SMT siblings are filled first: two workers compete for a core while others may be idle.
//
// scatter: the first CPU of every core, before the second of any. Among the cores the packages take
// turns, in a package its nodes, in a node its L3 caches, then L2 caches, then cores. What runs out
// is left out.
//
// In both, whatever takes turns does so in the order of its lowest CPU number.
//
// Throws std::invalid_argument for a list that is empty or names a CPU that is not allowed or not
// online, and for a list with another policy.
// Complexity: CPUs x levels, plus workers.
// Source: the names and their meaning are those of KMP_AFFINITY in Intel's OpenMP runtime.
HEDDLE_API std::vector<int> assign_cpus(const topology& machine, const affinity& wish,
                                        unsigned workers);

// For each slot of a pool all slots in rings: those of one ring are equally far from it, in
// kernel::proximity and, where that is equal, in the memory's distance. Nearest first: the order in
// which to look for a victim to steal from.
//
// A slot is itself in the first of its rings, so that slots on the same CPU share their rings.
// Memory: 4 bytes x slots x distinct CPUs.
class HEDDLE_API steal_rings {
 public:
  // Slots of which nothing is known: one ring.
  explicit steal_rings(unsigned slots);

  // A slot that is `unbound` has one ring, and the unbound slots are the last ring of the others.
  // Throws std::invalid_argument for a CPU that is not online.
  // Complexity: CPUs x (CPUs + slots x log slots), counting distinct CPUs.
  steal_rings(const topology& machine, std::span<const int> cpu_of_slot);

  unsigned slots() const noexcept { return static_cast<unsigned>(outlook_of_slot_.size()); }

  // At least 1. Requires: slot < slots(), as below.
  std::size_t rings(unsigned slot) const noexcept { return from(slot).ends.size(); }

  // Slots in rising order; never empty. Requires: index < rings(slot).
  std::span<const std::uint32_t> ring(unsigned slot, std::size_t index) const noexcept {
    const outlook& view = from(slot);
    const std::uint32_t begin = index == 0 ? 0 : view.ends[index - 1];
    return std::span(view.order).subspan(begin, view.ends[index] - begin);
  }

 private:
  // How the slots lie as seen from one CPU.
  struct outlook {
    std::vector<std::uint32_t> order{};  // all slots, ring by ring
    std::vector<std::uint32_t> ends{};   // of the rings, in `order`
  };

  const outlook& from(unsigned slot) const noexcept { return outlooks_[outlook_of_slot_[slot]]; }

  std::vector<outlook> outlooks_{};
  std::vector<std::uint32_t> outlook_of_slot_{};
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
