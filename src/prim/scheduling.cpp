#include <heddle/prim/config.hpp>
#include <heddle/prim/scheduling.hpp>
#include <stdexcept>

#if !HEDDLE_MODEL
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#endif

namespace heddle::inline HEDDLE_ABI::prim {

namespace {

constexpr int most_nice = 19;
constexpr int least_nice = -20;
constexpr int highest_level = 99;

std::string name_of(thread_policy policy) {
  switch (policy) {
    case thread_policy::normal:
      return "normal";
    case thread_policy::fifo:
      return "fifo";
    case thread_policy::round_robin:
      return "round robin";
    case thread_policy::batch:
      return "batch";
    case thread_policy::idle:
      return "idle";
  }
  return "policy " + std::to_string(static_cast<int>(policy));
}

bool is_real_time(thread_policy policy) {
  return policy == thread_policy::fifo || policy == thread_policy::round_robin;
}

bool has_nice(thread_policy policy) {
  return policy == thread_policy::normal || policy == thread_policy::batch;
}

[[noreturn]] void refuse(const thread_priority& priority, const std::string& reason) {
  throw std::invalid_argument("thread priority \"" + priority.describe() + "\": " + reason);
}

}  // namespace

std::string thread_priority::describe() const {
  std::string text = name_of(policy);
  if (nice != 0) text += ", nice " + std::to_string(nice);
  if (level != 0) text += ", level " + std::to_string(level);
  return text;
}

void check_priority(const thread_priority& priority) {
  if (!is_real_time(priority.policy) && !has_nice(priority.policy) &&
      priority.policy != thread_policy::idle)
    refuse(priority, "there is no such policy");
  if (priority.nice < least_nice || priority.nice > most_nice)
    refuse(priority, "nice goes from -20 to 19");
  if (priority.nice != 0 && !has_nice(priority.policy))
    refuse(priority, "nice goes with normal and batch");
  if (is_real_time(priority.policy) && (priority.level < 1 || priority.level > highest_level))
    refuse(priority, "the level goes from 1 to 99");
  if (priority.level != 0 && !is_real_time(priority.policy))
    refuse(priority, "a level goes with fifo and round robin");
}

#if HEDDLE_MODEL

void bind_this_thread(std::span<const int>) {}

std::vector<int> this_thread_affinity() { return {0}; }

void set_this_thread_priority(const thread_priority& priority) { check_priority(priority); }

thread_priority this_thread_priority() { return {}; }

#else

namespace {

constexpr int most_cpus = 131072;  // sixteen times what any Linux supports

struct free_mask {
  void operator()(cpu_set_t* mask) const noexcept { CPU_FREE(mask); }
};

// A mask for CPUs 0 to count - 1.
class cpu_mask {
 public:
  explicit cpu_mask(int count)
      : bytes_(CPU_ALLOC_SIZE(static_cast<std::size_t>(count))),
        bits_(CPU_ALLOC(static_cast<std::size_t>(count))) {
    if (bits_ == nullptr) throw std::bad_alloc();
    CPU_ZERO_S(bytes_, bits_.get());
  }

  std::size_t bytes() const noexcept { return bytes_; }
  cpu_set_t* bits() const noexcept { return bits_.get(); }
  void add(int cpu) noexcept { CPU_SET_S(static_cast<std::size_t>(cpu), bytes_, bits_.get()); }
  bool has(int cpu) const noexcept {
    return CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes_, bits_.get());
  }

 private:
  std::size_t bytes_;
  std::unique_ptr<cpu_set_t, free_mask> bits_;
};

[[noreturn]] void throw_failure(const std::string& call) {
  throw std::system_error(errno, std::generic_category(), call);
}

std::string list_of(std::span<const int> cpus) {
  std::string text;
  for (const int cpu : cpus) text.append(text.empty() ? "" : ",").append(std::to_string(cpu));
  return text;
}

// The kernel's `struct sched_attr` in its first form (Linux 3.14), which every later one accepts.
// C libraries before glibc 2.41 have neither it nor the calls.
struct scheduling_attributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};
static_assert(sizeof(scheduling_attributes) == 48);

constexpr std::uint64_t reset_on_fork = 1;

scheduling_attributes read_attributes() {
  scheduling_attributes now{};
  if (::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0) throw_failure("sched_getattr");
  return now;
}

}  // namespace

void bind_this_thread(std::span<const int> cpus) {
  if (cpus.empty()) throw std::invalid_argument("bind_this_thread: no CPU");
  const auto [lowest, highest] = std::minmax_element(cpus.begin(), cpus.end());
  for (const int cpu : {*lowest, *highest})
    if (cpu < 0 || cpu >= most_cpus)
      throw std::invalid_argument("bind_this_thread: no CPU can have the number " +
                                  std::to_string(cpu));
  cpu_mask mask(*highest + 1);
  for (const int cpu : cpus) mask.add(cpu);
  if (::sched_setaffinity(0, mask.bytes(), mask.bits()) != 0)
    throw_failure("sched_setaffinity to CPUs " + list_of(cpus));
}

// The kernel refuses to write into a mask narrower than its own, and does not say how wide that is.
std::vector<int> this_thread_affinity() {
  for (int width = 1024; width <= most_cpus; width *= 2) {
    const cpu_mask mask(width);
    if (::sched_getaffinity(0, mask.bytes(), mask.bits()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < width; ++cpu)
      if (mask.has(cpu)) cpus.push_back(cpu);
    return cpus;
  }
  throw_failure("sched_getaffinity");
}

// One call for policy, nice and level, so that a refusal leaves nothing half done.
void set_this_thread_priority(const thread_priority& priority) {
  check_priority(priority);
  scheduling_attributes wanted{};
  wanted.size = sizeof wanted;
  wanted.policy = static_cast<std::uint32_t>(priority.policy);
  wanted.nice = priority.nice;
  wanted.priority = static_cast<std::uint32_t>(priority.level);
  // Clearing it would need privilege.
  wanted.flags = read_attributes().flags & reset_on_fork;
  if (::syscall(SYS_sched_setattr, 0, &wanted, 0) != 0)
    throw_failure("sched_setattr to " + priority.describe());
}

thread_priority this_thread_priority() {
  const scheduling_attributes now = read_attributes();
  const auto policy = static_cast<thread_policy>(now.policy);
  // The kernel remembers a nice value where it means nothing.
  return {policy, has_nice(policy) ? now.nice : 0, static_cast<int>(now.priority)};
}

#endif

void bind_this_thread(int cpu) { bind_this_thread(std::span(&cpu, 1)); }

}  // namespace heddle::inline HEDDLE_ABI::prim
