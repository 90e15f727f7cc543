#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include <heddle/sizing/recommend.hpp>
#include <heddle/sizing/size_search.hpp>

#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

// Noise must not lead the refinement astray for ever.
constexpr std::size_t most_sizes = 32;

[[noreturn]] void reject(const char* what, double value, const std::string& demand) {
  throw std::invalid_argument(std::string("size_search: ") + what + " is " + detail::number(value) +
                              ", must be " + demand);
}

void check(const search_options& o) {
  for (const int size : o.sizes)
    if (size < 1) reject("a size", size, "at least 1");
  if (o.least < 1) reject("least", o.least, "at least 1");
  if (o.most < o.least) reject("most", o.most, "at least " + std::to_string(o.least));
  if (!(o.precision > 0 && o.precision < 1)) reject("precision", o.precision, "between 0 and 1");
  if (!(o.tolerance > 0 && o.tolerance < 1)) reject("tolerance", o.tolerance, "between 0 and 1");
  if (o.min_repetitions < 1) reject("min_repetitions", o.min_repetitions, "at least 1");
  if (o.max_repetitions < o.min_repetitions)
    reject("max_repetitions", o.max_repetitions, "at least " + std::to_string(o.min_repetitions));
}

int repetitions(const running_mean& m) { return static_cast<int>(m.count()); }

}  // namespace

size_search::size_search(search_options options) : options_(std::move(options)) {
  check(options_);
  std::vector<int> sizes = options_.sizes;
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  seen_.reserve(std::max(most_sizes, sizes.size()));
  for (const int size : sizes) seen_.push_back({size});
  if (!sizes.empty()) options_.most = sizes.back();
}

std::optional<int> size_search::next() const {
  if (!options_.sizes.empty()) {
    if (const auto size = least_measured(false)) return size;
    return least_measured(true);
  }
  if (const auto size = scout()) return size;
  if (const auto size = least_measured(false)) return size;
  if (const auto size = refine()) return size;
  return least_measured(true);
}

void size_search::add(const measurement& m) {
  static_cast<void>(summarize({&m, 1}));  // refuses what makes no sense
  measurements_.push_back(m);
  auto place = std::lower_bound(seen_.begin(), seen_.end(), m.size,
                                [](const seen& s, int size) { return s.size < size; });
  if (place == seen_.end() || place->size != m.size) place = seen_.insert(place, seen{m.size});
  place->throughput.add(m.throughput());
}

// Whatever lies between what was measured and what was refused may be had or not, so the search
// goes on half way.
void size_search::refuse(int size) {
  std::erase_if(seen_, [&](const seen& s) { return s.size >= size && s.throughput.count() == 0; });
  int had = 0;
  for (const seen& s : seen_)
    if (s.throughput.count() > 0 && s.size < size) had = s.size;
  options_.most = std::min(options_.most, had + (size - had) / 2);
}

size_search::progress size_search::how_far() const noexcept {
  progress p;
  for (const seen& s : seen_) {
    if (s.throughput.count() > 0) ++p.sizes;
    p.done += repetitions(s.throughput);
    p.expected += repetitions(s.throughput) + repetitions_left(s);
  }
  return p;
}

std::vector<int> size_search::imprecise() const {
  std::vector<int> sizes;
  for (const seen& s : seen_) {
    if (repetitions(s.throughput) >= options_.max_repetitions && !is_certain(s))
      sizes.push_back(s.size);
  }
  return sizes;
}

// Null before the first measurement.
const size_search::seen* size_search::best() const noexcept {
  const seen* highest = nullptr;
  for (const seen& s : seen_) {
    if (s.throughput.count() == 0) continue;
    if (highest == nullptr || s.throughput.mean() > highest->throughput.mean()) highest = &s;
  }
  return highest;
}

bool size_search::is_certain(const seen& s) const {
  const estimate x = s.throughput.interval();
  const double width = x.relative_half_width();
  if (width <= options_.precision) return true;
  const seen* const top = best();
  const estimate highest = top->throughput.interval();
  const bool is_worse = x.high < (1 - options_.tolerance) * highest.low;
  const bool is_needless = &s != top && std::any_of(seen_.data(), &s, [&](const seen& smaller) {
    return as_good(smaller.throughput.interval(), highest, options_.tolerance);
  });
  constexpr double roughly = 3;
  return width <= roughly * options_.precision && (is_worse || is_needless);
}

// As the scatter so far lets one expect.
int size_search::repetitions_left(const seen& s) const {
  const int done = repetitions(s.throughput);
  if (s.size > options_.most) return 0;
  if (done < options_.min_repetitions) return options_.min_repetitions - done;
  if (done >= options_.max_repetitions || is_certain(s)) return 0;
  const double deviation = std::sqrt(s.throughput.variance()) / s.throughput.mean();
  const double needed = std::ceil(std::pow(2 * deviation / options_.precision, 2));
  const double most = options_.max_repetitions;
  return std::max(1, static_cast<int>(std::min(most, needed)) - done);
}

// The sizes least, 2 least, 4 least, ..., most, as far as they bring something.
std::optional<int> size_search::scout() const {
  if (options_.least > options_.most) return std::nullopt;
  double highest = 0;
  int in_vain = 0;
  for (int size = options_.least;;) {
    const auto place = std::lower_bound(seen_.begin(), seen_.end(), size,
                                        [](const seen& s, int wanted) { return s.size < wanted; });
    if (place == seen_.end() || place->size != size) return size;
    const double mean = place->throughput.mean();
    in_vain = mean > (1 + options_.tolerance) * highest ? 0 : in_vain + 1;
    highest = std::max(highest, mean);
    constexpr int enough = 2;
    if (in_vain >= enough || size >= options_.most) return std::nullopt;
    size = size > options_.most / 2 ? options_.most : 2 * size;
  }
}

// Of the sizes that want to be measured again the one that was measured least; of equals the
// lowest in one round, the highest in the next one.
std::optional<int> size_search::least_measured(bool until_certain) const {
  const seen* chosen = nullptr;
  for (const seen& s : seen_) {
    if (s.size > options_.most) break;
    const int done = repetitions(s.throughput);
    const bool wanted = done < options_.min_repetitions ||
                        (until_certain && done < options_.max_repetitions && !is_certain(s));
    if (!wanted) continue;
    const int fewest = chosen == nullptr ? done + 1 : repetitions(chosen->throughput);
    const bool downwards = done % 2 == 1;
    if (done < fewest || (done == fewest && downwards)) chosen = &s;
  }
  if (chosen == nullptr) return std::nullopt;
  return chosen->size;
}

// Where the throughput has become as good as the best, and, when it falls on a side of the best,
// there.
std::optional<int> size_search::refine() const {
  if (seen_.empty() || seen_.size() >= most_sizes) return std::nullopt;
  const auto top = static_cast<std::size_t>(best() - seen_.data());
  const estimate highest = seen_[top].throughput.interval();
  const auto good = [&](std::size_t i) {
    return as_good(seen_[i].throughput.interval(), highest, options_.tolerance);
  };
  // When no more than noise lies between two sizes there is nothing to be found between them.
  const auto gap = [&](std::size_t i, std::size_t j) -> std::optional<int> {
    const estimate d = difference(seen_[i].throughput, seen_[j].throughput);
    if (d.holds(0) && std::isfinite(d.high)) return std::nullopt;
    return between(seen_[i].size, seen_[j].size);
  };
  std::size_t recommended = 0;
  while (!good(recommended)) ++recommended;
  if (recommended > 0) {
    if (const auto size = gap(recommended - 1, recommended)) return size;
  }
  if (top > 0 && !good(top - 1)) {
    if (const auto size = gap(top - 1, top)) return size;
  }
  if (top + 1 < seen_.size() && !good(top + 1)) return gap(top, top + 1);
  return std::nullopt;
}

std::optional<int> size_search::between(int low, int high) const {
  constexpr int finest_share = 8;
  if (high - low <= std::max(1, high / finest_share)) return std::nullopt;
  const auto geometric = static_cast<int>(
      std::lround(std::sqrt(static_cast<double>(low) * static_cast<double>(high))));
  const int middle = std::clamp(geometric, low + 1, high - 1);
  return middle <= options_.most ? std::optional(middle) : std::nullopt;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
