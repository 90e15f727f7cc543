#include <algorithm>
#include <bit>
#include <memory>
#include <new>

#include <heddle/base/cache_line.hpp>
#include <heddle/data/eviction.hpp>
#include <heddle/prim/allocation.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

ghost_list::~ghost_list() {
  if (entries_ != nullptr) {
    prim::deallocate(entries_, (mask_ + std::size_t{1}) * ways * sizeof(entry), cache_line);
  }
}

// A power of two of buckets with a quarter of room to spare, so that few give way too early. Within
// twice the number it was made for it stays as it is.
void ghost_list::set_span(std::uint64_t entries) noexcept {
  const std::uint64_t wanted = std::clamp<std::uint64_t>(entries, 1, std::uint64_t{1} << 31);
  const std::uint64_t buckets = std::bit_ceil((wanted + wanted / 4 + ways - 1) / ways);
  if (entries_ == nullptr || buckets > mask_ + std::uint64_t{1}) {
    entry* larger = nullptr;
    try {
      larger = static_cast<entry*>(prim::allocate(buckets * ways * sizeof(entry), cache_line));
    } catch (const std::bad_alloc&) {
      return;  // it remembers fewer, or none
    }
    std::uninitialized_default_construct_n(larger, buckets * ways);
    if (entries_ != nullptr) {
      prim::deallocate(entries_, (mask_ + std::size_t{1}) * ways * sizeof(entry), cache_line);
    }
    entries_ = larger;
    mask_ = static_cast<std::uint32_t>(buckets - 1);
  }
  // Ages have 14 bits of the 16, so that it takes four spans for an old one to look young again.
  shift_ = static_cast<std::uint16_t>(std::bit_width(wanted | 0x2000)) - 14;
  oldest_ = static_cast<std::uint16_t>(wanted >> shift_);
  span_ = entries;
}

void ghost_list::add(std::uint32_t hash, std::uint16_t mark) noexcept {
  if (entries_ == nullptr) return;
  entry* const b = bucket(hash);
  entry* oldest = b;
  for (entry* e = b; e != b + ways; ++e) {
    if (e->mark == 0) {
      oldest = e;
      break;
    }
    if (age(*e) > age(*oldest)) oldest = e;
  }
  *oldest = {static_cast<std::uint16_t>(mark | 1), now()};
  ++added_;
}

bool ghost_list::take(std::uint32_t hash, std::uint16_t mark) noexcept {
  if (entries_ == nullptr) return false;
  entry* const b = bucket(hash);
  for (entry* e = b; e != b + ways; ++e) {
    if (e->mark != static_cast<std::uint16_t>(mark | 1)) continue;
    const bool young = age(*e) <= oldest_;
    e->mark = 0;
    return young;
  }
  return false;
}

void ghost_list::clear() noexcept {
  if (entries_ != nullptr) {
    std::fill_n(entries_, (mask_ + std::size_t{1}) * ways, entry());
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
