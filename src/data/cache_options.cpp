#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include <heddle/data/cache_counters.hpp>
#include <heddle/data/cache_options.hpp>

namespace heddle::inline HEDDLE_ABI {

recursive_computation::recursive_computation(const char* what) : error(what) {}
recursive_computation::~recursive_computation() = default;

const char* describe(removal_cause cause) noexcept {
  switch (cause) {
    case removal_cause::replaced:
      return "replaced";
    case removal_cause::erased:
      return "erased";
    case removal_cause::expired:
      return "expired";
    case removal_cause::evicted:
      return "evicted";
  }
  return "unknown";
}

namespace detail {

namespace {

constexpr std::size_t most_shards = 65536;
constexpr std::size_t smallest_share = 64;

[[noreturn]] void refuse(const char* what, const std::string& value) {
  std::string message("cache: ");
  message += what;
  message += value;
  throw std::invalid_argument(message);
}

}  // namespace

cache_limits checked_limits(std::size_t capacity, prim::clock::duration after_write,
                            prim::clock::duration after_access) {
  if (after_write.count() < 0) {
    refuse("expiry after write is negative, in ticks of the clock: ",
           std::to_string(after_write.count()));
  }
  if (after_access.count() < 0) {
    refuse("expiry after access is negative, in ticks of the clock: ",
           std::to_string(after_access.count()));
  }
  return {.capacity = capacity,
          .after_write = after_write.count(),
          .after_access = after_access.count()};
}

std::size_t shards_for(std::size_t capacity, std::size_t asked) {
  if (asked == 0 || asked > most_shards) {
    refuse("shards must be 1 to 65536, not ", std::to_string(asked));
  }
  return std::bit_floor(std::clamp<std::size_t>(capacity / smallest_share, 1, asked));
}

std::uint64_t checked_weight(std::int64_t weight) {
  if (weight < 0) refuse("the weigher returned a negative weight: ", std::to_string(weight));
  return static_cast<std::uint64_t>(std::max<std::int64_t>(weight, 1));
}

void load_counters::add_to(cache_statistics& s) const noexcept {
  s.loads += loads_.read();
  s.load_failures += failures_.read();
  s.waits += waits_.read();
  const std::uint64_t cycles = prim::cycle_count() - cycles_then_;
  if (cycles == 0) return;
  const std::chrono::duration<double, std::nano> time = prim::clock::now() - since_;
  s.load_time += std::chrono::nanoseconds(static_cast<std::int64_t>(
      time.count() * (static_cast<double>(cycles_.read()) / static_cast<double>(cycles))));
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
