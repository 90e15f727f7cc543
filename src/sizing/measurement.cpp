#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include <heddle/sizing/measurement.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

[[noreturn]] void refuse(const measurement& m, const std::string& what, std::int64_t value,
                         const char* demand) {
  throw std::invalid_argument("measurement of size " + std::to_string(m.size) + ": " + what +
                              " is " + std::to_string(value) + ", must " + demand);
}

void check(const measurement& m) {
  if (m.size < 1) refuse(m, "size", m.size, "be at least 1");
  if (m.tasks == 0) refuse(m, "tasks", 0, "be at least 1");
  if (m.elapsed.count() <= 0) refuse(m, "elapsed", m.elapsed.count(), "be above 0 ns");
  if (m.in_tasks && m.in_tasks->count() < 0)
    refuse(m, "in_tasks", m.in_tasks->count(), "not be negative");
  if (m.runnable && m.runnable->count() < 0)
    refuse(m, "runnable", m.runnable->count(), "not be negative");
  if (m.cpu && m.cpu->count() < 0) refuse(m, "cpu", m.cpu->count(), "not be negative");
}

double seconds(std::chrono::nanoseconds t) { return std::chrono::duration<double>(t).count(); }

// What a size's measurements add up to.
struct sums {
  running_mean throughput;
  std::uint64_t tasks = 0;
  double elapsed = 0;
  std::optional<double> in_tasks = 0;
  std::optional<double> cpu = 0;
  std::optional<double> runnable = 0;
  std::optional<double> switches = 0;

  void add(const measurement& m) {
    throughput.add(m.throughput());
    tasks += m.tasks;
    elapsed += seconds(m.elapsed);
    const auto accumulate = [](std::optional<double>& sum, std::optional<double> value) {
      if (sum && value) {
        *sum += *value;
      } else {
        sum.reset();
      }
    };
    const auto known = [](const auto& time) {
      return time ? std::optional<double>(seconds(*time)) : std::nullopt;
    };
    accumulate(in_tasks, known(m.in_tasks));
    accumulate(cpu, known(m.cpu));
    accumulate(runnable, known(m.runnable));
    accumulate(switches, m.voluntary_switches
                             ? std::optional<double>(static_cast<double>(*m.voluntary_switches))
                             : std::nullopt);
  }

  size_summary of(int size) const {
    const auto all = static_cast<double>(tasks);
    const auto per_task = [all](std::optional<double> sum) {
      return sum ? std::optional<double>(*sum / all) : std::nullopt;
    };
    size_summary s;
    s.size = size;
    s.repetitions = static_cast<int>(throughput.count());
    s.tasks = tasks;
    s.elapsed = elapsed / static_cast<double>(throughput.count());
    s.throughput = throughput.interval();
    s.throughput.low = std::max(s.throughput.low, 0.0);
    s.residence = per_task(in_tasks);
    s.cpu = per_task(cpu);
    s.runnable = per_task(runnable);
    s.switches = per_task(switches);
    return s;
  }
};

}  // namespace

std::vector<size_summary> summarize(std::span<const measurement> measurements) {
  std::map<int, sums> by_size;
  for (const measurement& m : measurements) {
    check(m);
    by_size[m.size].add(m);
  }
  std::vector<size_summary> all;
  all.reserve(by_size.size());
  for (const auto& [size, s] : by_size) all.push_back(s.of(size));
  return all;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
