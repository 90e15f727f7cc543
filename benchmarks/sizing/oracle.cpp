#include "oracle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <utility>
#include <vector>

#include "../compare/figures.hpp"
#include "work.hpp"

namespace bench {
namespace {

using json = nlohmann::ordered_json;

// Below this share of the best a size is not tried again: after its first run, and later.
constexpr double far_behind = 0.7;
constexpr double behind = 0.9;

struct trial {
  std::map<std::string, std::vector<double>> rates;  // by kind of stretch
  std::vector<double> p99;
};

using trials = std::map<int, trial>;

std::map<std::string, double> best_rates(const trials& all) {
  std::map<std::string, double> best;
  for (const auto& [size, one] : all)
    for (const auto& [kind, rates] : one.rates) best[kind] = std::max(best[kind], median(rates));
  return best;
}

// Whether the size is near the best in any kind of stretch.
bool is_promising(const trial& one, const std::map<std::string, double>& best, double share) {
  return std::any_of(one.rates.begin(), one.rates.end(), [&](const auto& of_kind) {
    return median(of_kind.second) >= share * best.at(of_kind.first);
  });
}

}  // namespace

oracle_book::oracle_book(std::filesystem::path file, laboratory& where, bool anew)
    : file_(std::move(file)), where_(&where) {
  if (!anew && std::filesystem::exists(file_)) {
    book_ = json::parse(std::ifstream(file_));
  } else {
    book_ = {{"turns_per_microsecond", measure_turns_per_microsecond()}, {"loads", json::object()}};
  }
  where.set_turns_per_microsecond(book_.at("turns_per_microsecond"));
}

json oracle_book::tried(const std::string& load, const sweep& how) {
  trials all;
  for (int round = 0; round < how.runs; ++round) {
    const auto best = best_rates(all);
    for (const int size : how.sizes) {
      if (round > 0 && !is_promising(all.at(size), best, round == 1 ? far_behind : behind))
        continue;
      fmt::print(stderr, "\r{}: fixed sizes, run {} of {}, {} workers   ", load, round + 1,
                 how.runs, size);
      const order what{load, fmt::format("fixed:{}", size),
                       how.phased ? 2 * how.seconds : how.seconds, how.warm_up,
                       how.phased ? how.seconds : 0};
      const auto result = where_->carry_out(what);
      auto& one = all[size];
      for (const auto& each : result.stretches)
        one.rates[each.kind].push_back(result.rate(each.kind, how.warm_up));
      one.p99.push_back(result.task_p99);
    }
  }
  fmt::print(stderr, "\n");
  json page = json::array();
  for (const auto& [size, one] : all)
    page.push_back({{"size", size}, {"rates", one.rates}, {"p99", one.p99}});
  return page;
}

std::vector<best_size> oracle_book::best(const std::string& load, const sweep& how) {
  json& page = book_["loads"][load];
  if (page.is_null()) {
    page = tried(load, how);
    std::ofstream(file_) << book_.dump(1) << '\n';
  }
  // Sizes differ by chance, too. Where tasks arrive, all that keep up do equally well but for the
  // task times; else the smallest of those that cannot be told from the best is taken.
  const double as_good = how.arrivals ? 0.98 : 0.995;
  struct candidate {
    double rate = 0;
    double p99 = 0;
    int size = 0;
  };
  std::map<std::string, std::vector<candidate>> candidates;
  for (const auto& one : page)
    for (const auto& [kind, rates] : one.at("rates").items())
      candidates[kind].push_back({median(rates.get<std::vector<double>>()),
                                  median(one.at("p99").get<std::vector<double>>()),
                                  one.at("size")});
  std::vector<best_size> found;
  for (auto& [kind, all] : candidates) {
    const double most = std::ranges::max(all, {}, &candidate::rate).rate;
    std::erase_if(all, [&](const candidate& one) { return one.rate < as_good * most; });
    found.push_back({kind, how.arrivals ? std::ranges::min(all, {}, &candidate::p99).size
                                        : std::ranges::min(all, {}, &candidate::size).size});
  }
  return found;
}

}  // namespace bench
