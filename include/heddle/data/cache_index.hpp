// Where the entries of a cache lie, by their hash. For the library's own use.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// An open-addressed table of 64-bit slots, eight a cache line: a number of 32 bits beside 32 bits
// of hash, which tell nearly all other keys apart without a look at them, and from which a slot's
// home is known when slots move. Linear probing, at most half full; erasing shifts back (Knuth,
// "The Art of Computer Programming", volume 3, 6.4, algorithm R), so that there are no tombstones.
//
// One thread changes it at a time. Any number may look meanwhile: what they find is to be believed
// only if they then see that nobody has changed anything. Tables that it has outgrown are kept
// until its end for the sake of those; they add up to less than the one in use.
class HEDDLE_API cache_index {
 public:
  class slot {
   public:
    constexpr slot() noexcept = default;
    constexpr slot(std::uint32_t hash, std::uint32_t number) noexcept
        : word_((std::uint64_t{hash} << 32) | (std::uint64_t{number} + 1)) {}
    constexpr explicit slot(std::uint64_t word) noexcept : word_(word) {}

    bool empty() const noexcept { return word_ == 0; }
    std::uint32_t hash() const noexcept { return static_cast<std::uint32_t>(word_ >> 32); }
    std::uint32_t number() const noexcept { return static_cast<std::uint32_t>(word_) - 1; }
    std::uint64_t word() const noexcept { return word_; }

   private:
    std::uint64_t word_ = 0;
  };

  // The table as it is at one moment.
  class view {
   public:
    std::size_t size() const noexcept { return mask_ + 1; }
    std::size_t home(std::uint32_t hash) const noexcept { return hash & mask_; }
    std::size_t after(std::size_t place) const noexcept { return (place + 1) & mask_; }
    slot at(std::size_t place) const noexcept { return slot(slots_[place].load(prim::acquire)); }
    const void* address(std::size_t place) const noexcept { return &slots_[place]; }

   private:
    friend class cache_index;
    view(prim::atomic<std::uint64_t>* slots, std::size_t mask) noexcept
        : slots_(slots), mask_(mask) {}
    void set(std::size_t place, slot s) const noexcept {
      slots_[place].store(s.word(), prim::release);
    }

    prim::atomic<std::uint64_t>* slots_;
    std::size_t mask_;
  };

  cache_index();  // throws std::bad_alloc
  ~cache_index();
  cache_index(const cache_index&) = delete;
  cache_index& operator=(const cache_index&) = delete;

  view look() const noexcept {
    const std::uintptr_t word = table_.load(prim::acquire);
    return {reinterpret_cast<prim::atomic<std::uint64_t>*>(word & ~log_mask),
            (std::size_t{1} << (word & log_mask)) - 1};
  }

  // The place of the first slot with this hash whose number `is_it` confirms; no_place without one.
  template <class Match>
  std::size_t find(std::uint32_t hash, Match is_it) const {
    const view v = look();
    for (std::size_t place = v.home(hash);; place = v.after(place)) {
      const slot s = v.at(place);
      if (s.empty()) return no_place;
      if (s.hash() == hash && is_it(s.number())) return place;
    }
  }
  static constexpr std::size_t no_place = ~std::size_t{0};
  std::uint32_t number(std::size_t place) const noexcept { return look().at(place).number(); }

  // Makes sure that insert finds room behind `held` entries, which are all that it has. Throws
  // std::bad_alloc, and nothing has changed.
  void reserve_one(std::size_t held) {
    if (2 * (held + 1) > look().size()) [[unlikely]]
      grow();
  }
  // Requires: reserve_one() was called.
  void insert(std::uint32_t hash, std::uint32_t number) noexcept;
  // The entry at this place has another number from now on.
  void exchange(std::size_t place, std::uint32_t number) noexcept {
    const view v = look();
    v.set(place, slot(v.at(place).hash(), number));
  }
  void erase(std::size_t place) noexcept;

 private:
  // The address of the first slot, aligned to a cache line, and below it the size's logarithm.
  // Behind the last slot the same of the table that was outgrown before, or 0.
  static constexpr std::uintptr_t log_mask = 63;
  static constexpr unsigned first_log = 3;

  static std::uintptr_t make(unsigned log, std::uintptr_t outgrown);
  void grow();

  // Nothing that an entry more or less would change: who looks begins here.
  prim::atomic<std::uintptr_t> table_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
