#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include <heddle/sizing/recommend.hpp>

#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using detail::duration;
using detail::number;
using detail::percent;

// From which share of the usable cores on they count as in use, and by how much a task's times and
// switches must rise to mean something.
constexpr double cores_in_use = 0.85;
constexpr double cpu_rise = 1.2;
constexpr double sleep_rise = 1.25;
constexpr double switches_rise = 1.5;
constexpr double switches_more = 0.5;
// A throughput that is lower by so much has fallen, tolerance or not.
constexpr double clear_fall = 0.1;

std::string at(int size) { return " at size " + number(size); }

// "from 12 ms at size 1 to 31 ms at size 8 (+158 %)", "... (26 times as long)"
std::string rise(double from, int first, double to, int last) {
  constexpr double many_times = 5;
  std::string text = "from " + duration(from) + at(first) + " to " + duration(to) + at(last);
  if (!(from > 0)) return text;
  if (to < many_times * from) return text + " (+" + percent(to / from - 1) + ")";
  return text + " (" + number(to / from, 3) + " times as long)";
}

bool rises(std::optional<double> from, std::optional<double> to, double factor) {
  return from && to && *from > 0 && *to >= factor * *from;
}

// The case that was measured, with its outstanding sizes.
struct evidence {
  const size_summary& smallest;
  const size_summary& chosen;
  const size_summary& best;
  const size_summary& largest;
  double cores;
  double tolerance;
  const scaling_fit* fit;

  bool fills_cores(const size_summary& s) const {
    return s.cpus() && *s.cpus() >= cores_in_use * cores;
  }
  std::string cores_used(const size_summary& s) const {
    return number(*s.cpus(), 3) + " of " + detail::count(cores, "usable core");
  }
  // Workers that wait for a CPU, on the average.
  static double waiting(const size_summary& s) {
    return s.runnable ? s.overall_throughput() * *s.runnable : 0;
  }
  bool waits_for_cores(const size_summary& s) const {
    return s.cpus() && *s.cpus() + waiting(s) >= cores;
  }
  bool has_coherency() const { return fit != nullptr && fit->fitted && fit->kappa.low > 0; }
  bool falls() const {
    return largest.throughput.value <
           (1 - std::max(clear_fall, 2 * tolerance)) * best.throughput.value;
  }
  double fall() const { return 1 - largest.throughput.value / best.throughput.value; }
};

struct verdict {
  limit why;
  std::string reason;
};

// While the chosen size has enough to compute for all cores.
std::optional<verdict> judge_cores(const evidence& e) {
  if (!e.fills_cores(e.chosen)) {
    if (!e.waits_for_cores(e.chosen)) return std::nullopt;
    return verdict{limit::neighbour,
                   "only " + e.cores_used(e.chosen) + " in use, while " +
                       number(evidence::waiting(e.chosen), 3) +
                       " workers on the average wait for one: other processes have them, or a CPU "
                       "quota"};
  }
  if (rises(e.smallest.cpu, e.chosen.cpu, cpu_rise))
    return verdict{limit::memory_or_spinning,
                   e.cores_used(e.chosen) + " in use, but the CPU time of a task rises " +
                       rise(*e.smallest.cpu, e.smallest.size, *e.chosen.cpu, e.chosen.size) +
                       ": memory bandwidth, spinning, or siblings that share a core"};
  return verdict{limit::cores, "the cores are the limit: " + e.cores_used(e.chosen) + " in use" +
                                   at(e.chosen.size)};
}

// The cores are not busy at the chosen size, and more workers bring nothing: what do these do?
std::optional<verdict> judge_beyond(const evidence& e) {
  if (e.fills_cores(e.largest) && rises(e.smallest.cpu, e.largest.cpu, cpu_rise))
    return verdict{limit::memory_or_spinning,
                   "more workers burn CPU time but end no more tasks: that of a task rises " +
                       rise(*e.smallest.cpu, e.smallest.size, *e.largest.cpu, e.largest.size) +
                       ": spinning, or memory bandwidth"};
  if (e.smallest.switches && e.largest.switches &&
      *e.largest.switches >= *e.smallest.switches + switches_more &&
      *e.largest.switches >= switches_rise * *e.smallest.switches)
    return verdict{limit::lock, "a lock: a task's voluntary switches rise from " +
                                    number(*e.smallest.switches, 3) + at(e.smallest.size) + " to " +
                                    number(*e.largest.switches, 3) + at(e.largest.size) +
                                    ", and throughput does not"};
  if (e.falls() && (e.has_coherency() || e.fit == nullptr || !e.fit->fitted))
    return verdict{limit::coherency, "workers cost each other time: throughput falls by " +
                                         percent(e.fall()) + " from size " + number(e.best.size) +
                                         " to size " + number(e.largest.size)};
  if (rises(e.smallest.asleep(), e.largest.asleep(), sleep_rise))
    return verdict{
        limit::saturation,
        "what the tasks wait for is saturated: the wait of a task rises " +
            rise(*e.smallest.asleep(), e.smallest.size, *e.largest.asleep(), e.largest.size) +
            ", and throughput does not"};
  return std::nullopt;
}

verdict judge(const evidence& e, bool single) {
  if (const auto v = judge_cores(e)) return *v;
  if (single)
    return {limit::unknown, "no other size was measured, so there is nothing to compare with"};
  if (e.chosen.size == e.largest.size)
    return {limit::not_reached, "throughput still rises at the largest size measured: try more"};
  if (const auto v = judge_beyond(e)) return *v;
  if (e.has_coherency())
    return {limit::coherency,
            "workers cost each other time: the Universal Scalability Law has kappa = " +
                number(e.fit->kappa.value, 3) + ", above 0 for certain"};
  return {limit::unknown, "more workers bring no more, and the signals do not tell why"};
}

void check(std::span<const size_summary> sizes, const recommend_options& options) {
  if (sizes.empty()) throw std::invalid_argument("recommend: of 0 sizes");
  if (!(options.cores > 0) || !std::isfinite(options.cores))
    throw std::invalid_argument("recommend: cores is " + number(options.cores) +
                                ", must be finite and above 0");
  if (!(options.tolerance >= 0 && options.tolerance < 1))
    throw std::invalid_argument("recommend: tolerance is " + number(options.tolerance) +
                                ", must be at least 0 and below 1");
}

}  // namespace

std::string_view to_string(limit what) noexcept {
  switch (what) {
    case limit::unknown:
      return "unknown";
    case limit::not_reached:
      return "not reached";
    case limit::cores:
      return "cores";
    case limit::neighbour:
      return "neighbour";
    case limit::memory_or_spinning:
      return "memory or spinning";
    case limit::lock:
      return "lock";
    case limit::saturation:
      return "saturation";
    case limit::coherency:
      return "coherency";
  }
  return "unknown";
}

bool as_good(const estimate& throughput, const estimate& best, double tolerance) noexcept {
  const double doubt = std::hypot(throughput.high - throughput.low, best.high - best.low) / 2;
  const double slack = tolerance * best.value;
  return throughput.value >= best.value - slack - std::min(doubt, slack);
}

recommendation recommend(std::span<const size_summary> sizes, const recommend_options& options,
                         const scaling_fit* fit) {
  check(sizes, options);
  const auto best = std::max_element(sizes.begin(), sizes.end(), [](const auto& a, const auto& b) {
    return a.throughput.value < b.throughput.value;
  });
  const auto chosen = std::find_if(sizes.begin(), sizes.end(), [&](const size_summary& s) {
    return as_good(s.throughput, best->throughput, options.tolerance);
  });
  const evidence e{sizes.front(), *chosen,           *best, sizes.back(),
                   options.cores, options.tolerance, fit};
  verdict v = judge(e, sizes.size() == 1);
  recommendation r{.size = chosen->size, .best = best->size, .why = v.why, .reason = {}};
  if (r.size == r.best) {
    r.reason = "highest throughput measured; ";
  } else {
    const double lower = 1 - chosen->throughput.value / best->throughput.value;
    r.reason =
        "throughput within " + percent(lower) + " of the highest, measured" + at(r.best) + "; ";
  }
  r.reason += v.reason;
  return r;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
