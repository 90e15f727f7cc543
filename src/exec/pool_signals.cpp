#include "pool_signals.hpp"

#include <time.h>

#include <algorithm>
#include <utility>

#include <heddle/kernel/descriptor_count.hpp>
#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/usage.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

using std::chrono::nanoseconds;

constexpr auto between_looks = std::chrono::milliseconds(100);

nanoseconds cpu_time_of(clockid_t whom) noexcept {
  timespec time{};
  if (::clock_gettime(whom, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

nanoseconds pool_signals::own_cpu_time() noexcept {
  return prim::limits::pool_reads_kernel ? cpu_time_of(CLOCK_THREAD_CPUTIME_ID) : nanoseconds{};
}

// Each thread's share of its own interval: whoever reads a thousand threads may be interrupted in
// the middle.
pool_signals::activity pool_signals::look_at_threads(std::span<const thread> threads) {
  activity all;
  if (!prim::limits::pool_reads_kernel) return all;
  const auto looked_before = std::exchange(looked_at_, prim::clock::now());
  ++looks_;
  for (const thread& t : threads) {
    if (watched_.size() <= t.index) watched_.resize(t.index + 1);
    watched& w = watched_[t.index];
    if (w.kernel_id != t.kernel_id) {
      w = {t.kernel_id, kernel::thread_sampler(t.kernel_id, files_), {}, looked_before};
    }
    w.look = looks_;
    if (!w.sampler.knows_waiting()) all.knows_runnable = false;
    const auto now = w.sampler.sample();
    if (!now) continue;  // it is just leaving
    const auto at = prim::clock::now();
    const auto share = [length = at - w.at](nanoseconds part) {
      return length > length.zero() ? std::max(0.0, std::chrono::duration<double>(part) / length)
                                    : 0;
    };
    all.computing += share(now->running - w.last.running);
    all.runnable += share(now->waiting - w.last.waiting);
    if (now->slices > w.last.slices) all.slices += now->slices - w.last.slices;
    w.last = *now;
    w.at = at;
  }
  for (watched& w : watched_) {
    if (w.look != looks_) w = {};  // it has left, and its file can be closed
  }
  return all;
}

const pool_signals::surroundings& pool_signals::look_around(prim::time_point now) {
  if (!prim::limits::pool_reads_kernel || now - last_.at < between_looks) return around_;
  if (groups_.empty()) groups_ = kernel::find_cgroups(files_, "cpu");
  if (kernel::cpu_set cpus = kernel::read_affinity(files_); cpus != cpus_) {
    cpus_ = std::move(cpus);  // what was read of others is no beginning
    last_ = {};
    around_ = {};
  }
  look next{now, kernel::read_machine_load(cpus_, files_), cpu_time_of(CLOCK_PROCESS_CPUTIME_ID),
            kernel::read_throttling(files_, groups_)};
  const bool is_first = last_.at == prim::time_point{};
  const look before = std::exchange(last_, std::move(next));
  if (is_first) return around_;
  const double apart = std::chrono::duration<double>(now - before.at).count();
  around_.knows_foreign = false;
  if (before.machine && last_.machine) {
    if (const auto use = kernel::use_between(*before.machine, *last_.machine)) {
      const double own = std::chrono::duration<double>(last_.own - before.own).count() / apart;
      around_.foreign = std::max(0.0, use->busy + use->stolen - own);
      around_.knows_foreign = true;
    }
  }
  around_.throttled = kernel::throttled_share(before.throttling, last_.throttling, now - before.at);
  if (around_.throttled > 0) throttled_more_ = true;
  return around_;
}

sizing::headroom pool_signals::headroom(int workers, int cap, prim::time_point now) {
  if (!prim::limits::pool_reads_kernel) return {cap, {}};
  sizing::resources known;
  known.workers = workers;
  known.now = now.time_since_epoch();
  known.limits = kernel::read_process_limits(files_);
  known.open_descriptors = kernel::count_descriptors(files_);
  if (known.limits.tasks) {
    known.group_tasks = kernel::read_tasks_in_use(*known.limits.tasks, files_);
  }
  if (known.limits.processes && !known.limits.ignores_processes) {
    known.user_threads =
        user_threads_.count(now, known.limits.processes->soft, static_cast<std::uint64_t>(workers),
                            static_cast<std::uint64_t>(cap), files_);
  }
  known.memory = kernel::read_memory(files_);
  if (known.memory.limit) {
    known.group_memory = kernel::read_memory_in_use(*known.memory.limit, files_);
  }
  const auto pressure = kernel::read_pressure(kernel::resource::memory, files_);
  if (pressure && pressure->full) known.memory_stall = memory_stalls_.add(now, *pressure->full);
  // One for what its tasks open, one for its schedstat file.
  return sizing::find_headroom(known, {.descriptors = 2}, cap, brake_);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
