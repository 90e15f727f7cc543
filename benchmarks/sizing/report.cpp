#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "../compare/figures.hpp"

namespace bench {
namespace {

using json = nlohmann::ordered_json;

constexpr double target_share = 0.97;
constexpr double target_steps = 2;
constexpr double target_controller = 0.01;

struct measure {
  const char* name;
  const char* unit;
  bool lower;
  std::vector<double> scores::* values;
};
constexpr measure measures[] = {
    {"throughput over the best fixed size", "of oracle", false, &scores::share},
    {"time to reach 95 % and stay a second", "s", true, &scores::reach},
    {"regret over the whole run", "of oracle", true, &scores::regret},
    {"p99 of task time", "us", true, &scores::p99},
};

std::string size_cell(const std::vector<best_size>& oracle) {
  std::string cell;
  for (const auto& one : oracle)
    cell += fmt::format("{}{}{}{}", cell.empty() ? "" : ", ", one.kind,
                        one.kind.empty() ? "" : ": ", one.size);
  return cell;
}

const scores* of(const load_result& load, const std::string& name) {
  for (const auto& [who, what] : load.contenders)
    if (who == name) return &what;
  return nullptr;
}

json target_of(const measure& what, const load_result& load) {
  if (what.values == &scores::share) return target_share;
  if (what.values == &scores::reach) return load.reach_limit;
  return nullptr;
}

std::string shown(const measure& what, double value) {
  if (std::isinf(value)) return "never";
  if (what.values == &scores::p99)
    return value < 1000 ? fmt::format("{:.2f} ms", value / 1000)
                        : fmt::format("{:.4g} ms", value / 1000);
  return fmt::format("{:.{}f}", value, what.values == &scores::reach ? 2 : 3);
}

// A table of one measure: loads down, contenders across.
std::string table(const measure& what, const std::vector<load_result>& results) {
  std::string text = fmt::format("### {}\n\n| Load | {} |", what.name,
                                 what.values == &scores::p99 ? "best size" : "best sizes");
  if (what.values == &scores::reach)
    text = fmt::format("### {}, in seconds\n\n| Load | limit |", what.name);
  std::string line = "|---|---|";
  for (const auto& [name, _] : results.front().contenders) {
    text += fmt::format(" {} |", name);
    line += "---|";
  }
  text += '\n' + line + '\n';
  for (const auto& load : results) {
    text += fmt::format("| {} | {} |", load.name,
                        what.values == &scores::reach ? fmt::format("{:.2f}", load.reach_limit)
                        : what.values == &scores::p99 ? shown(what, load.oracle_p99)
                                                      : size_cell(load.oracle));
    for (const auto& [name, own] : load.contenders) {
      const auto& values = own.*what.values;
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      text += fmt::format(" {}", shown(what, median(values)));
      if (name == own_name && values.size() > 1)
        text += fmt::format(" [{}-{}]", shown(what, *low), shown(what, *high));
      text += " |";
    }
    text += '\n';
  }
  if (what.values != &scores::share && what.values != &scores::regret) return text + '\n';
  for (const bool mean : {true, false}) {
    text += mean ? "| **mean** | |" : "| **worst** | |";
    for (const auto& [name, _] : results.front().contenders) {
      double sum = 0;
      double worst = what.lower ? -std::numeric_limits<double>::infinity()
                                : std::numeric_limits<double>::infinity();
      for (const auto& load : results) {
        const double value = median(of(load, name)->*what.values);
        sum += value;
        worst = what.lower ? std::max(worst, value) : std::min(worst, value);
      }
      text += fmt::format(" {:.3f} |", mean ? sum / static_cast<double>(results.size()) : worst);
    }
    text += '\n';
  }
  return text + '\n';
}

std::string rest_table(const std::vector<load_result>& results) {
  std::string text;
  for (const auto& load : results) {
    if (!load.rest) continue;
    if (text.empty())
      text =
          "### At rest\n\n| Load | steps a minute | controller, of all CPU time |\n|---|---|---|\n";
    text += fmt::format("| {} | {:.1f} | {:.2f} % |\n", load.name, load.rest->steps_a_minute,
                        100 * load.rest->controller_share);
  }
  return text.empty() ? text : text + '\n';
}

}  // namespace

json rows_of(const std::vector<load_result>& results) {
  json rows = json::array();
  for (const auto& load : results) {
    for (const auto& what : measures) {
      json row{{"row", load.name + ": " + what.name},
               {"unit", what.unit},
               {"better", what.lower ? "lower" : "higher"},
               {"heddle", nullptr},
               {"peers", json::object()}};
      for (const auto& [name, own] : load.contenders)
        (name == own_name ? row["heddle"] : row["peers"][name]) = summary(own.*what.values);
      const json target = target_of(what, load);
      if (const auto* const own = of(load, own_name); own && !target.is_null()) {
        const double value = median(own->*what.values);
        row["target_value"] = target;
        row["met"] = what.lower ? value <= target.get<double>() : value >= target.get<double>();
      }
      rows.push_back(std::move(row));
    }
    if (!load.rest) continue;
    const auto alone = [&](const char* name, const char* unit, double value, double target) {
      rows.push_back({{"row", load.name + ": " + name},
                      {"unit", unit},
                      {"better", "lower"},
                      {"heddle", summary({value})},
                      {"peers", json::object()},
                      {"target_value", target},
                      {"met", value <= target}});
    };
    alone("changes of size at rest", "per minute", load.rest->steps_a_minute, target_steps);
    alone("CPU time of the controller", "of all", load.rest->controller_share, target_controller);
  }
  return rows;
}

std::string tables_of(const std::vector<load_result>& results) {
  std::string text;
  for (const auto& what : measures) text += table(what, results);
  text += rest_table(results);
  for (const auto& load : results)
    if (!load.remark.empty()) text += fmt::format("{}: {}.\n", load.name, load.remark);
  return text;
}

void write_sizes(std::ostream& csv, const std::vector<load_result>& results) {
  csv << "load,contender,seconds,size,cause\n";
  for (const auto& load : results)
    for (const auto& run : load.first_round)
      for (const auto& one : run.sizes)
        csv << fmt::format("{},{},{:.4f},{},{}\n", load.name, run.what.contender, one.at, one.size,
                           one.cause);
}

}  // namespace bench
