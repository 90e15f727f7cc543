// Compares the adaptive pool with the best fixed size and with other laws, load by load.
//
// usage: runner PLAN BIN_DIR OUTPUT.json COMMIT [--quick] [--loads NAME,...] [--contenders
// NAME,...]
//               [--rounds N] [--new-oracle] [--mixtures [FIRST-LAST]] [--picture FILE]
//               [--patience N]
//
// The best fixed sizes are searched for once and kept beside OUTPUT, as *_oracle.json, so that a
// change of the law needs no new search. Then the best size, measured in fresh runs, and the
// contenders run one after the other, in an order that turns from round to round, each in a process
// of its own. Sizes over time are written beside OUTPUT as .csv and .svg; --picture writes the
// latter to FILE, too. --mixtures measures loads made at random from seeds, 1-200 unless told, in
// place of the named ones.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../compare/figures.hpp"
#include "loads.hpp"
#include "oracle.hpp"
#include "outcome.hpp"
#include "report.hpp"

namespace {

using json = nlohmann::ordered_json;
using words = std::vector<std::string>;
namespace fs = std::filesystem;

struct choices {
  bool quick = false;
  bool new_oracle = false;
  words loads;
  words contenders;
  std::optional<int> rounds;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> mixtures;
  std::string picture;
  int patience = 5;
};

choices choices_of(std::span<char*> arguments) {
  choices chosen;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string option = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == arguments.size()) throw std::invalid_argument(option + " wants a value");
      return arguments[++i];
    };
    if (option == "--quick") {
      chosen.quick = true;
    } else if (option == "--new-oracle") {
      chosen.new_oracle = true;
    } else if (option == "--loads") {
      chosen.loads = bench::split_at_commas(value());
    } else if (option == "--contenders") {
      chosen.contenders = bench::split_at_commas(value());
    } else if (option == "--rounds") {
      chosen.rounds = std::stoi(value());
      if (*chosen.rounds < 1) throw std::invalid_argument("--rounds wants at least 1");
    } else if (option == "--patience") {
      chosen.patience = std::stoi(value());
      if (chosen.patience < 1) throw std::invalid_argument("--patience wants at least 1");
    } else if (option == "--picture") {
      chosen.picture = value();
    } else if (option == "--mixtures") {
      chosen.mixtures = {1, 200};
      if (i + 1 < arguments.size() && arguments[i + 1][0] != '-') {
        const std::string range = value();
        const auto dash = range.find('-');
        chosen.mixtures->first = std::stoull(range);
        chosen.mixtures->second = std::stoull(dash == range.npos ? range : range.substr(dash + 1));
      }
    } else {
      throw std::invalid_argument("no such option: " + option);
    }
  }
  return chosen;
}

struct final_settings {
  int rounds = 0;
  double seconds = 0;
  double warm_up = 0;
  double phase_seconds = 0;  // of loads that have phases
  double after_change = 0;   // of a phase, when the oracle's pace is taken
};

class comparison {
 public:
  comparison(bench::oracle_book& book, bench::laboratory& where, final_settings settings)
      : book_(&book), where_(&where), settings_(settings) {}

  bench::load_result compare(const std::string& load, const bench::sweep& how,
                             const words& contenders, int phases = 0) const {
    bench::load_result result;
    result.name = load;
    result.oracle = book_->best(load, how);
    const double seconds = phases > 0 ? phases * settings_.phase_seconds : settings_.seconds;

    words entrants = contenders;
    for (const auto& best : result.oracle) {
      const auto name = fixed(best);
      if (std::find(entrants.begin(), entrants.end(), name) == entrants.end())
        entrants.push_back(name);
    }
    for (const auto& name : contenders) result.contenders.push_back({name, {}});

    std::vector<double> oracle_p99;
    double task_mean = 0;
    for (int round = 0; round < settings_.rounds; ++round) {
      std::map<std::string, bench::outcome> runs;
      for (std::size_t i = 0; i < entrants.size(); ++i) {
        const auto& name = entrants[(i + static_cast<std::size_t>(round)) % entrants.size()];
        fmt::print(stderr, "\r{}: round {} of {}, {}            ", load, round + 1,
                   settings_.rounds, name);
        runs[name] = where_->carry_out(
            {load, name, seconds, settings_.warm_up, phases > 0 ? settings_.phase_seconds : 0});
      }
      const auto paces = paces_of(result.oracle, runs);
      const auto& best = runs.at(fixed(result.oracle.front()));
      oracle_p99.push_back(best.task_p99);
      task_mean = std::max(task_mean, best.task_mean);
      for (auto& [name, own] : result.contenders) add(own, paces, runs.at(name), best);
      if (round > 0) continue;
      result.remark = best.remark;
      for (const auto& name : contenders) result.first_round.push_back(runs.at(name));
    }
    fmt::print(stderr, "\n");
    result.oracle_p99 = bench::median(oracle_p99);
    result.reach_limit = std::max(0.5, 5e-6 * task_mean);
    return result;
  }

  // How often the size changes when nothing else does, and what looking costs.
  bench::rest_report rest(const std::string& load, double seconds, double after) const {
    fmt::print(stderr, "\r{}: at rest            \n", load);
    const auto run = where_->carry_out({load, bench::own_name, seconds, after, 0});
    return {bench::steps_a_minute(run, after), run.controller_seconds / run.cpu_seconds};
  }

 private:
  static std::string fixed(const bench::best_size& best) {
    return fmt::format("fixed:{}", best.size);
  }

  std::vector<bench::pace> paces_of(const std::vector<bench::best_size>& oracle,
                                    const std::map<std::string, bench::outcome>& runs) const {
    std::vector<bench::pace> paces;
    for (const auto& best : oracle) {
      const auto& run = runs.at(fixed(best));
      const bool phased = run.stretches.size() > 1;
      paces.push_back(
          {best.kind, run.rate(best.kind, phased ? settings_.after_change : settings_.warm_up)});
    }
    return paces;
  }

  static void add(bench::scores& own, const std::vector<bench::pace>& paces,
                  const bench::outcome& run, const bench::outcome& best) {
    const double end = run.stretches.back().end;
    // Where one size is best throughout, its run is the oracle's, with its own start.
    const double all =
        paces.size() == 1 ? best.work_between(0, end) : bench::work_of_oracle(paces, run, 0, end);
    own.share.push_back(bench::share_of_oracle(paces, run));
    own.reach.push_back(
        bench::seconds_to_reach(paces, run).value_or(std::numeric_limits<double>::infinity()));
    own.regret.push_back(1 - run.work_between(0, end) / all);
    own.p99.push_back(run.task_p99);
  }

  bench::oracle_book* book_;
  bench::laboratory* where_;
  final_settings settings_;
};

bench::sweep sweep_of(const json& settings, const json& load) {
  bench::sweep how;
  const int most = load.value("most", std::numeric_limits<int>::max());
  for (const int size : settings.at("sizes"))
    if (size <= most) how.sizes.push_back(size);
  how.runs = settings.at("runs");
  how.seconds = settings.at("seconds").get<double>() + load.value("longer", 0.0);
  how.warm_up = settings.at("warm_up").get<double>() + load.value("longer", 0.0) / 2;
  how.phased = load.value("phases", 0) > 0;
  how.arrivals = load.value("arrivals", false);
  return how;
}

final_settings final_of(const json& settings, const choices& chosen) {
  return {chosen.rounds.value_or(settings.at("rounds").get<int>()), settings.at("seconds"),
          settings.at("warm_up"), settings.value("phase_seconds", 0.0),
          settings.value("after_change", 0.0)};
}

std::vector<bench::load_result> compare_named(const json& plan, const json& settings,
                                              const choices& chosen, bench::oracle_book& book,
                                              bench::laboratory& where) {
  const words contenders =
      chosen.contenders.empty() ? settings.at("contenders").get<words>() : chosen.contenders;
  const auto& finals = settings.at("final");
  const comparison all(book, where, final_of(finals, chosen));
  std::vector<bench::load_result> results;
  for (const auto& known : bench::named_loads()) {
    if (!chosen.loads.empty() &&
        std::find(chosen.loads.begin(), chosen.loads.end(), known.name) == chosen.loads.end())
      continue;
    const json load = plan.at("loads").value(known.name, json::object());
    const int phases = load.value("phases", 0);
    results.push_back(
        all.compare(known.name, sweep_of(settings.at("sweep"), load), contenders, phases));
    results.back().text = known.text;
    const bool ours =
        std::find(contenders.begin(), contenders.end(), bench::own_name) != contenders.end();
    if (ours && phases == 0 && finals.value("rest_seconds", 0.0) > 0)
      results.back().rest =
          all.rest(known.name, finals.at("rest_seconds"), finals.at("rest_after"));
  }
  return results;
}

// Loads made at random. Those in which we did worst are measured once more, since the worst of many
// noisy figures looks worse than it is.
json compare_mixtures(const json& plan, const choices& chosen, bench::oracle_book& book,
                      bench::laboratory& where) {
  const auto& settings = plan.at("mixtures");
  const words contenders =
      chosen.contenders.empty() ? settings.at("contenders").get<words>() : chosen.contenders;
  const auto finals = final_of(settings.at("final"), chosen);
  const comparison all(book, where, finals);
  const auto how = sweep_of(settings.at("sweep"), json::object());
  struct mixture {
    std::uint64_t seed;
    bench::load_result result;
    double share(std::size_t contender) const {
      return bench::median(result.contenders[contender].second.share);
    }
  };
  std::vector<mixture> mixtures;
  for (auto seed = chosen.mixtures->first; seed <= chosen.mixtures->second; ++seed)
    mixtures.push_back({seed, all.compare(fmt::format("mix:{}", seed), how, contenders)});

  fmt::print("### {} mixtures, seeds {} to {}: throughput over the best fixed size\n\n",
             mixtures.size(), chosen.mixtures->first, chosen.mixtures->second);
  fmt::print(
      "| Contender | mean | median | worst | below 0.97 | below 0.80 "
      "|\n|---|---|---|---|---|---|\n");
  json rows = json::array();
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::vector<double> shares;
    double sum = 0;
    for (const auto& one : mixtures) sum += shares.emplace_back(one.share(i));
    const auto below = [&](double limit) {
      return std::count_if(shares.begin(), shares.end(),
                           [=](double share) { return share < limit; });
    };
    fmt::print("| {} | {:.3f} | {:.3f} | {:.3f} | {} | {} |\n", contenders[i],
               sum / static_cast<double>(shares.size()), bench::median(shares),
               *std::min_element(shares.begin(), shares.end()), below(0.97), below(0.80));
    rows.push_back({{"row", "mixtures: throughput over the best fixed size"},
                    {"contender", contenders[i]},
                    {"unit", "of oracle"},
                    {"better", "higher"},
                    {"shares", shares}});
  }

  std::sort(mixtures.begin(), mixtures.end(),
            [](const auto& a, const auto& b) { return a.share(0) < b.share(0); });
  mixtures.resize(std::min<std::size_t>(mixtures.size(), 10));
  auto again = finals;
  again.rounds = settings.at("rounds_again");
  again.seconds = settings.at("seconds_again");
  const comparison second(book, where, again);
  fmt::print("\nThe ten in which {} did worst, and what they gave when measured again:\n\n",
             contenders[0]);
  fmt::print("| Seed | best size | share | again | tasks |\n|---|---|---|---|---|\n");
  for (const auto& one : mixtures) {
    const auto anew =
        second.compare(one.result.name, how, {contenders[0]}).contenders[0].second.share;
    fmt::print("| {} | {} | {:.3f} | {:.3f} | {} |\n", one.seed, one.result.oracle[0].size,
               one.share(0), bench::median(anew), bench::describe_mixture(one.seed));
    rows.push_back({{"row", fmt::format("mixture {}, measured again", one.seed)},
                    {"unit", "of oracle"},
                    {"better", "higher"},
                    {"heddle", bench::summary(anew)}});
  }
  return rows;
}

void write_file(const fs::path& path, const std::vector<bench::load_result>& results,
                void (*write)(std::ostream&, const std::vector<bench::load_result>&)) {
  std::ofstream to(path);
  write(to, results);
}

int run(std::span<char*> arguments) {
  const fs::path output = arguments[2];
  const auto chosen = choices_of(arguments.subspan(4));
  const json plan = json::parse(std::ifstream(arguments[0]));
  const json& settings = plan.at(chosen.quick ? "quick" : "thorough");

  auto book_file = output;
  book_file.replace_filename(output.stem().string() + (chosen.quick ? "_quick" : "") +
                             "_oracle.json");
  bench::laboratory where(arguments[1], chosen.patience);
  bench::oracle_book book(book_file, where, chosen.new_oracle);

  json result{
      {"machine", bench::machine()}, {"compiler", HEDDLE_COMPILER}, {"commit", arguments[3]}};
  fmt::print("## {}\n\n{}, {}, commit {}. Median [min-max].\n\n",
             plan.at("title").get<std::string>(), result["machine"].get<std::string>(),
             HEDDLE_COMPILER, arguments[3]);
  if (chosen.mixtures) {
    result["rows"] = compare_mixtures(plan, chosen, book, where);
  } else {
    const auto results = compare_named(plan, settings, chosen, book, where);
    if (results.empty()) throw std::invalid_argument("no such load");
    result["rows"] = bench::rows_of(results);
    fmt::print("{}", bench::tables_of(results));
    write_file(fs::path(output).replace_extension("csv"), results, bench::write_sizes);
    write_file(fs::path(output).replace_extension("svg"), results, bench::write_plot);
    if (!chosen.picture.empty()) write_file(chosen.picture, results, bench::write_plot);
  }
  fmt::print("\n{} runs; in {} of them other programs used the CPUs, too.\n", where.runs(),
             where.disturbed());
  std::ofstream(output) << result.dump(2) << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    fmt::print(stderr,
               "usage: runner PLAN BIN_DIR OUTPUT.json COMMIT [--quick] [--loads NAME,...]\n"
               "              [--contenders NAME,...] [--rounds N] [--new-oracle]\n"
               "              [--mixtures [FIRST-LAST]] [--picture FILE] [--patience N]\n");
    return 2;
  }
  try {
    return run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
  } catch (const std::exception& caught) {
    fmt::print(stderr, "\nrunner: {}\n", caught.what());
    return 1;
  }
}
