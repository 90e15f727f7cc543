#include "surroundings.hpp"

#include <algorithm>

#include <heddle/kernel/descriptor_count.hpp>
#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/usage.hpp>

#include "cpu_time.hpp"

namespace heddle::tool {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds cores_interval = 1s;
// The kernel counts the load of CPUs in steps of 10 ms, and throttling in periods of 100 ms.
constexpr std::chrono::nanoseconds load_interval = 100ms;
constexpr std::chrono::nanoseconds room_interval = 1s;
constexpr std::chrono::nanoseconds room_interval_growing = 50ms;
// Between two looks that cost so much.
constexpr int pause_for_cost = 500;

}  // namespace

surroundings::surroundings(clock::time_point now, const kernel::tree& files)
    : files_(files), start_(now), groups_(kernel::find_cgroups(files, "cpu")) {}

double surroundings::cores(clock::time_point now) {
  if (cores_read_ == clock::time_point{} || now - cores_read_ >= cores_interval) {
    cores_read_ = now;
    cpus_ = kernel::read_affinity(files_);
    budget_.allowed = std::max(1, static_cast<int>(cpus_.size()));
    budget_.quota = kernel::read_cpu_quota(files_, groups_);
  }
  return budget_.usable();
}

surroundings::load surroundings::read_load(clock::time_point now, std::chrono::nanoseconds own) {
  const auto apart = now - load_read_;
  if (load_read_ != clock::time_point{} && apart < load_interval) return load_;

  const auto machine = kernel::read_machine_load(cpus_, files_);
  const auto throttling =
      budget_.quota ? kernel::read_throttling(files_, groups_) : std::vector<kernel::throttling>{};
  load_ = {};
  if (machine && load_before_) {
    if (const auto use = kernel::use_between(*load_before_, *machine)) {
      const double ours = std::chrono::duration<double>(own - own_before_) / apart;
      load_.foreign = std::max(0.0, use->busy + use->stolen - ours);
      load_.knows_foreign = true;
    }
  }
  if (!throttling.empty()) {
    load_.throttled = kernel::throttled_share(throttling_before_, throttling, apart);
  }
  load_read_ = now;
  own_before_ = own;
  load_before_ = machine;
  throttling_before_ = throttling;
  return load_;
}

sizing::headroom surroundings::room(clock::time_point now, int jobs,
                                    const sizing::worker_needs& each, int cap) {
  const bool grows = jobs > most_jobs_;
  const bool known = room_read_ != clock::time_point{};
  const auto pause =
      std::max(grows ? room_interval_growing : room_interval, room_cost_ * pause_for_cost);
  if (known && now - room_read_ < pause) return room_;
  const auto cost_before = thread_cpu_time();
  room_ = sizing::find_headroom(read_resources(now, jobs, each, cap), each, cap, brake_);
  room_cost_ = thread_cpu_time() - cost_before - user_threads_.cost_of_last();
  most_jobs_ = std::max(most_jobs_, jobs);
  room_read_ = now;
  return room_;
}

sizing::resources surroundings::read_resources(clock::time_point now, int jobs,
                                               const sizing::worker_needs& each, int cap) {
  sizing::resources known;
  known.workers = jobs;
  known.now = now - start_;
  known.limits = kernel::read_process_limits(files_);
  known.open_descriptors = kernel::count_descriptors(files_);
  if (known.limits.tasks) {
    known.group_tasks = kernel::read_tasks_in_use(*known.limits.tasks, files_);
  }
  if (known.limits.processes && !known.limits.ignores_processes) {
    known.user_threads = user_threads_.count(
        now, known.limits.processes->soft, each.threads * static_cast<std::uint64_t>(jobs),
        each.threads * static_cast<std::uint64_t>(cap), files_);
  }
  known.memory = kernel::read_memory(files_);
  if (known.memory.limit) {
    known.group_memory = kernel::read_memory_in_use(*known.memory.limit, files_);
  }
  const auto pressure = kernel::read_pressure(kernel::resource::memory, files_);
  if (pressure && pressure->full) {
    known.memory_stall = memory_stalls_.add(now, *pressure->full);
  }
  return known;
}

}  // namespace heddle::tool
