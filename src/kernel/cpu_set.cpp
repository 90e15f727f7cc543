#include <algorithm>
#include <heddle/kernel/cpu_set.hpp>
#include <heddle/kernel/text.hpp>
#include <iterator>
#include <numeric>
#include <stdexcept>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

// "5", "0-3" or "0-30:2/4": `used` out of every `group` CPUs from first to last.
struct range {
  int first, last, used, group;
};

std::optional<range> parse_range(std::string_view text) {
  std::string_view pattern = text;
  std::string_view bounds = take_until(pattern, ':');
  const bool has_pattern = bounds.size() != text.size();
  const bool has_end = bounds.find('-') != std::string_view::npos;

  const auto first = parse_number<int>(take_until(bounds, '-'));
  const auto last = has_end ? parse_number<int>(bounds) : first;
  if (!first || !last || *first < 0 || *last < *first || *last >= cpu_set::limit)
    return std::nullopt;
  if (!has_pattern) return range{*first, *last, 1, 1};

  const auto used = parse_number<int>(take_until(pattern, '/'));
  const auto group = parse_number<int>(pattern);
  if (!used || !group || *used < 1 || *group < *used) return std::nullopt;
  return range{*first, *last, *used, *group};
}

}  // namespace

std::optional<cpu_set> cpu_set::parse(std::string_view list) {
  cpu_set set;
  list = trim(list);
  if (list.empty()) return set;
  if (list.back() == ',') return std::nullopt;
  while (!list.empty()) {
    const auto part = parse_range(take_until(list, ','));
    if (!part) return std::nullopt;
    for (int cpu = part->first; cpu <= part->last; ++cpu)
      if ((cpu - part->first) % part->group < part->used) set.insert(cpu);
  }
  return set;
}

cpu_set cpu_set::first(int count) {
  if (count < 0 || count > limit)
    throw std::invalid_argument("cpu_set: a set of " + std::to_string(count) + " CPUs");
  cpu_set set;
  set.cpus_.resize(static_cast<std::size_t>(count));
  std::iota(set.cpus_.begin(), set.cpus_.end(), 0);
  return set;
}

void cpu_set::insert(int cpu) {
  if (cpu < 0 || cpu >= limit)
    throw std::invalid_argument("cpu_set: no CPU can have the number " + std::to_string(cpu));
  if (cpus_.empty() || cpus_.back() < cpu) {
    cpus_.push_back(cpu);
    return;
  }
  const auto place = std::lower_bound(cpus_.begin(), cpus_.end(), cpu);
  if (*place != cpu) cpus_.insert(place, cpu);
}

bool cpu_set::contains(int cpu) const noexcept {
  return std::binary_search(cpus_.begin(), cpus_.end(), cpu);
}

cpu_set cpu_set::operator&(const cpu_set& other) const {
  cpu_set both;
  std::set_intersection(begin(), end(), other.begin(), other.end(), std::back_inserter(both.cpus_));
  return both;
}

std::string cpu_set::to_string() const {
  std::string text;
  for (auto run = begin(); run != end();) {
    auto last = run;
    while (std::next(last) != end() && *std::next(last) == *last + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(*run);
    if (last != run) text += '-' + std::to_string(*last);
    run = std::next(last);
  }
  return text;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
