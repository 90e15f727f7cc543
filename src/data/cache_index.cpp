#include <memory>
#include <new>

#include <heddle/base/cache_line.hpp>
#include <heddle/data/cache_index.hpp>
#include <heddle/prim/allocation.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

using word = prim::atomic<std::uint64_t>;

}  // namespace

cache_index::cache_index() : table_(make(first_log, 0)) {}

cache_index::~cache_index() {
  for (std::uintptr_t table = table_.load(prim::relaxed); table != 0;) {
    const std::size_t size = std::size_t{1} << (table & log_mask);
    auto* const slots = reinterpret_cast<word*>(table & ~log_mask);
    table = slots[size].load(prim::relaxed);
    std::destroy_n(slots, size + 1);
    prim::deallocate(slots, (size + 1) * sizeof(word), cache_line);
  }
}

std::uintptr_t cache_index::make(unsigned log, std::uintptr_t outgrown) {
  const std::size_t size = std::size_t{1} << log;
  auto* const slots = static_cast<word*>(prim::allocate((size + 1) * sizeof(word), cache_line));
  for (std::size_t i = 0; i < size; ++i) ::new (static_cast<void*>(slots + i)) word(0);
  ::new (static_cast<void*>(slots + size)) word(outgrown);
  return reinterpret_cast<std::uintptr_t>(slots) | log;
}

void cache_index::insert(std::uint32_t hash, std::uint32_t number) noexcept {
  const view v = look();
  std::size_t place = v.home(hash);
  while (!v.at(place).empty()) place = v.after(place);
  v.set(place, slot(hash, number));
}

void cache_index::erase(std::size_t place) noexcept {
  const view v = look();
  // Each slot that follows without a gap moves up into the hole, unless its home lies behind it.
  for (std::size_t next = v.after(place);; next = v.after(next)) {
    const slot s = v.at(next);
    if (s.empty()) break;
    const std::size_t from_home = (next - v.home(s.hash())) & (v.size() - 1);
    const std::size_t from_hole = (next - place) & (v.size() - 1);
    if (from_home >= from_hole) {
      v.set(place, s);
      place = next;
    }
  }
  v.set(place, slot());
}

void cache_index::grow() {
  const std::uintptr_t old = table_.load(prim::relaxed);
  const view from = look();
  const std::uintptr_t larger = make(static_cast<unsigned>(old & log_mask) + 1, old);
  table_.store(larger, prim::release);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const slot s = from.at(i);
    if (!s.empty()) insert(s.hash(), s.number());
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
