#include <algorithm>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <utility>

#include <heddle/sizing/headroom.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

// Shares of the time, at which the brake comes on and may come off.
constexpr double short_stall = 0.1;
constexpr double ample_stall = 0.02;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;

// Keeps the tightest bound and what it comes from.
class bound {
 public:
  explicit bound(int cap) : most_(cap) {}

  // `reason` makes the sentence only if it is needed.
  template <class Reason>
  void add(std::uint64_t all_workers, Reason reason) {
    if (all_workers >= static_cast<std::uint64_t>(most_)) return;
    most_ = static_cast<int>(all_workers);
    reason_ = reason();
  }

  headroom result() && { return {std::max(1, most_), std::move(reason_)}; }

 private:
  int most_;
  std::string reason_{};
};

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.1 ? "%.1f %%" : "%.0f %%", 100 * share);
  return text;
}

// How many workers a limit on something that each takes `needed` of leaves room for.
std::uint64_t workers_within(std::uint64_t limit, std::optional<std::uint64_t> in_use,
                             std::uint64_t reserve, std::uint64_t needed, std::uint64_t workers) {
  if (!in_use) return limit / 2 / needed;
  return workers + less(less(limit, reserve), *in_use) / needed;
}

std::string limit_reason(const std::string& what, std::uint64_t limit,
                         std::optional<std::uint64_t> in_use) {
  return what + " allows " + std::to_string(limit) +
         (in_use ? ", of which " + std::to_string(*in_use) + (*in_use == 1 ? " is" : " are") +
                       " in use"
                 : ", half of which may go to workers");
}

void bound_descriptors(const resources& known, const worker_needs& needs, std::uint64_t workers,
                       bound& b) {
  if (!known.limits.open_files || needs.descriptors == 0) return;
  const std::uint64_t limit = known.limits.open_files->soft;
  if (limit == kernel::resource_limit::unlimited) return;
  constexpr std::uint64_t least_reserve = 16;
  b.add(workers_within(limit, known.open_descriptors, std::max(least_reserve, limit / 10),
                       needs.descriptors, workers),
        [&] { return limit_reason("the limit of open files", limit, known.open_descriptors); });
}

void bound_threads(const resources& known, const worker_needs& needs, std::uint64_t workers,
                   bound& b) {
  if (known.limits.tasks) {
    const std::uint64_t limit = known.limits.tasks->value;
    b.add(workers_within(limit, known.group_tasks, limit / 16, needs.threads, workers), [&] {
      return limit_reason("pids.max of control group " + known.limits.tasks->cgroup, limit,
                          known.group_tasks);
    });
  }
  if (known.limits.processes && !known.limits.ignores_processes &&
      known.limits.processes->soft != kernel::resource_limit::unlimited) {
    const std::uint64_t limit = known.limits.processes->soft;
    b.add(workers_within(limit, known.user_threads, limit / 16, needs.threads, workers),
          [&] { return limit_reason("the user's limit of threads", limit, known.user_threads); });
  }
}

struct memory_left {
  std::uint64_t whole = 0;
  std::uint64_t available = 0;

  bool is_known() const { return whole > 0; }
  // Not for new workers: a tenth, but of a large machine not more than anybody could need at once.
  std::uint64_t reserve() const { return std::min(whole / 10, gib); }
  double share() const { return static_cast<double>(available) / static_cast<double>(whole); }
};

// Of the machine or of the group: where the smaller share is left.
memory_left find_memory_left(const resources& known) {
  memory_left least;
  if (known.memory.total_bytes > 0 && known.memory.available_bytes > 0)
    least = {known.memory.total_bytes,
             std::min(known.memory.available_bytes, known.memory.total_bytes)};
  if (known.memory.limit && known.memory.limit->value > 0 && known.group_memory) {
    const std::uint64_t limit = known.memory.limit->value;
    const memory_left in_group{limit, less(limit, *known.group_memory)};
    if (!least.is_known() || in_group.available < least.available) least = in_group;
  }
  return least;
}

std::uint64_t memory_of_worker(const worker_needs& needs) {
  if (needs.memory_bytes > 0) return needs.memory_bytes;
  constexpr std::uint64_t assumed = 256 * kib;
  return std::max<std::uint64_t>(1, std::min(assumed, needs.stack_bytes));
}

void bound_memory(const memory_left& left, const worker_needs& needs, std::uint64_t workers,
                  bound& b) {
  if (!left.is_known()) return;
  const std::uint64_t spare = less(left.available, left.reserve()) / 2;
  const std::uint64_t each = memory_of_worker(needs);
  b.add(workers + spare / each, [&] {
    return std::to_string(left.available / mib) + " MiB of " + std::to_string(left.whole / mib) +
           " MiB of memory are available, and a worker needs " + std::to_string(each / kib) +
           " KiB";
  });
}

void update(memory_brake& brake, const memory_left& left, const resources& known) {
  const bool is_short =
      (left.is_known() && left.available < left.reserve() / 2) || known.memory_stall >= short_stall;
  const bool is_ample =
      (!left.is_known() || left.available >= left.reserve()) && known.memory_stall < ample_stall;
  if (is_short && !brake.is_on) brake = {true, known.workers, known.now};
  if (is_ample) brake.is_on = false;
  constexpr auto between_steps = std::chrono::seconds(1);
  if (!brake.is_on || !is_short || known.now - brake.fell_at < between_steps) return;
  brake.ceiling = std::min(brake.ceiling, known.workers) * 3 / 4;
  brake.fell_at = known.now;
}

void bound_by_brake(const memory_brake& brake, const memory_left& left, const resources& known,
                    bound& b) {
  if (!brake.is_on) return;
  b.add(static_cast<std::uint64_t>(std::max(0, brake.ceiling)), [&] {
    std::string reason = "memory is short";
    if (left.is_known()) reason += ": " + percent(left.share()) + " is available";
    if (known.memory_stall >= ample_stall)
      reason +=
          "; for want of it all tasks stood still " + percent(known.memory_stall) + " of the time";
    return reason;
  });
}

}  // namespace

headroom find_headroom(const resources& known, const worker_needs& needs, int cap,
                       memory_brake& brake) {
  if (cap < 1)
    throw std::invalid_argument("find_headroom: a cap of " + std::to_string(cap) + " workers");
  if (needs.threads < 1) throw std::invalid_argument("find_headroom: a worker of 0 threads");
  const auto workers = static_cast<std::uint64_t>(std::max(0, known.workers));
  const memory_left left = find_memory_left(known);
  update(brake, left, known);
  bound b(cap);
  bound_descriptors(known, needs, workers, b);
  bound_threads(known, needs, workers, b);
  bound_by_brake(brake, left, known, b);
  bound_memory(left, needs, workers, b);
  return std::move(b).result();
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
