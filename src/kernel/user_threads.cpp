#include <time.h>

#include <algorithm>

#include <heddle/kernel/usage.hpp>
#include <heddle/kernel/user_threads.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds interval = std::chrono::seconds(1);
constexpr int pause_for_cost = 500;

nanoseconds cpu_time_of_this_thread() noexcept {
  timespec time{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

std::optional<std::uint64_t> user_thread_counter::count(prim::time_point now, std::uint64_t limit,
                                                        std::uint64_t own, std::uint64_t wanted,
                                                        const tree& files) {
  spent_ = {};
  const auto everybody = count_threads(files);
  if (everybody && *everybody + wanted <= limit - limit / 16) return everybody;
  const bool is_first = counted_at_ == prim::time_point{};
  if (is_first || now - counted_at_ >= std::max(interval, cost_ * pause_for_cost)) {
    const nanoseconds before = cpu_time_of_this_thread();
    counted_ = count_user_threads(files);
    counted_at_ = now;
    own_then_ = own;
    spent_ = cost_ = cpu_time_of_this_thread() - before;
  }
  if (!counted_) return everybody;
  const std::uint64_t all = *counted_ + own;
  return all > own_then_ ? all - own_then_ : 0;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
