// Runs what a plan lists, each contender in a process of its own, all of them once a round in an
// order that turns from round to round, and tells how heddle compares with its peers.
//
// usage: bench_runner PLAN BIN_DIR OUTPUT.json COMMIT [--rows TEXT,...] [--contenders NAME,...]
//                     [--rounds N]
//
// --rows keeps the rows whose name contains one of the texts, --contenders these contenders alone.
// The plan is JSON, in which {bin} stands for BIN_DIR:
//   title       what the table is called
//   rounds      how many rounds count; one more is run first and thrown away
//   contenders  NAME: {"command": [...], "jobs": N, "stdin": "numbers"}
//               {tmp} in a word is a folder that is removed at the end; stdin is
//               /dev/null, or the numbers 1 to N, a line each; stdout and stderr are dropped, but
//               for a contender whose row measures "printed"
//   rows        {"row", "unit", "better": "lower"|"higher", "measure", "heddle", "peers":
//   [NAME...],
//               "arguments", "peer_arguments", "against", "target_ratio", "target_value",
//               "target_excess"}: one line of the table. heddle and peers name contenders ("heddle"
//               if it is not said). arguments are words after the commands, peer_arguments those
//               for the peers if they get others. The targets may be left out.
// A measure is one of
//   printed                       the number the contender prints
//   wall_seconds, jobs_per_second from start to end of the process
//   own_cpu_microseconds_per_job  user and system time of the process without its children
// The ratio of a row is the median over the rounds of heddle / peer of the same round, the excess
// that of heddle - peer. The peer is the one that `against` names; or "best", which it is when
// nothing is said: the one with the best median; or "median": of all peers of the round. A peer
// that is not installed is "not measured".
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "figures.hpp"

extern char** environ;

namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using bench::machine;
using bench::median;
using bench::split_at_commas;
using bench::summary;

// What one run of one contender gave.
struct sample {
  double wall_seconds = 0;
  double own_cpu_seconds = 0;
  double jobs = 1;
  std::string printed;

  double value(const std::string& measure) const {
    if (measure == "printed") return std::stod(printed);
    if (measure == "wall_seconds") return wall_seconds;
    if (measure == "jobs_per_second") return jobs / wall_seconds;
    if (measure == "own_cpu_microseconds_per_job") return own_cpu_seconds * 1e6 / jobs;
    throw std::runtime_error("the plan asks for an unknown measure: " + measure);
  }
};

struct contender {
  std::string name;
  std::vector<std::string> command;
  long jobs = 1;
  std::string input;  // path of its stdin
};

using words = std::vector<std::string>;

// A contender with the arguments that some rows want.
struct entrant {
  const contender* who;
  std::vector<sample> samples;  // one a round
};

// Those who get the same arguments run next to each other in time.
struct heat {
  words arguments;
  std::vector<entrant> entrants;
};

[[noreturn]] void fail_with_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The program a command names, searched for as the shell does.
bool is_there(const std::string& program) {
  if (program.find('/') != std::string::npos) return access(program.c_str(), X_OK) == 0;
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  return false;
}

// User and system time of an ended process that has not been waited for, its children left out.
double own_cpu_seconds(pid_t process) {
  const auto stat = read_file("/proc/" + std::to_string(process) + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user_ticks = 0;
  double system_ticks = 0;
  fields >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

sample run(const contender& who, const words& arguments, const fs::path& folder) {
  const auto output = folder / "stdout";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, who.input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  words command = who.command;
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);

  const auto started = std::chrono::steady_clock::now();
  pid_t process = 0;
  errno = posix_spawnp(&process, argv[0], &actions, nullptr, argv.data(), environ);
  if (errno != 0) fail_with_errno("cannot start " + command[0]);
  siginfo_t ended{};
  if (waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOWAIT) != 0)
    fail_with_errno("waitid");
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - started;
  sample result{wall.count(), own_cpu_seconds(process), static_cast<double>(who.jobs), {}};
  int status = 0;
  if (waitpid(process, &status, 0) < 0) fail_with_errno("waitpid");
  posix_spawn_file_actions_destroy(&actions);
  if (status != 0)
    throw std::runtime_error(fmt::format("{} {} ended with wait status {}", who.name,
                                         fmt::join(arguments, " "), status));
  result.printed = read_file(output);
  return result;
}

std::string shown(const json& summary) {
  return fmt::format("{:.4g} [{:.4g}-{:.4g}]", summary["median"].get<double>(),
                     summary["min"].get<double>(), summary["max"].get<double>());
}

using field = std::map<std::string, contender>;

words arguments_of(const json& row) { return row.value("arguments", words()); }
words peer_arguments_of(const json& row) {
  return row.contains("peer_arguments") ? row["peer_arguments"].get<words>() : arguments_of(row);
}

// The values of one contender with these arguments, a round each; none if it is not there.
std::vector<double> values_of(std::span<const heat> heats, const std::string& name,
                              const words& arguments, const std::string& measure) {
  std::vector<double> values;
  for (const auto& one : heats) {
    if (one.arguments != arguments) continue;
    for (const auto& entrant : one.entrants)
      if (entrant.who->name == name)
        for (const auto& each : entrant.samples) values.push_back(each.value(measure));
  }
  return values;
}

struct measured_peer {
  std::string name;
  std::vector<double> values;
};

// The one that heddle is compared with, as the row says; nothing if that one is not there.
std::optional<measured_peer> peer_to_beat(const json& row, std::vector<measured_peer> peers) {
  if (peers.empty()) return std::nullopt;
  const std::string against = row.value("against", "best");
  if (against == "median") {
    measured_peer middle{"median peer", {}};
    for (std::size_t round = 0; round < peers[0].values.size(); ++round) {
      std::vector<double> of_round;
      for (const auto& peer : peers) of_round.push_back(peer.values[round]);
      middle.values.push_back(median(std::move(of_round)));
    }
    return middle;
  }
  if (against == "best") {
    const bool lower = row.at("better") == "lower";
    return *std::min_element(peers.begin(), peers.end(), [lower](const auto& a, const auto& b) {
      return lower ? median(a.values) < median(b.values) : median(b.values) < median(a.values);
    });
  }
  for (auto& peer : peers)
    if (peer.name == against) return std::move(peer);
  return std::nullopt;
}

template <class F>
double median_over_rounds(const std::vector<double>& own, const std::vector<double>& theirs,
                          F compared) {
  std::vector<double> all;
  for (std::size_t i = 0; i < own.size(); ++i) all.push_back(compared(own[i], theirs[i]));
  return median(std::move(all));
}

// One row of the result, from a row of the plan.
json row_result(const json& row, std::span<const heat> heats) {
  const std::string measure = row.at("measure");
  const bool lower = row.at("better") == "lower";
  json result{{"row", row.at("row")}, {"unit", row.at("unit")}, {"better", row.at("better")}};

  const auto own = values_of(heats, row.value("heddle", "heddle"), arguments_of(row), measure);
  result["heddle"] = own.empty() ? json(nullptr) : summary(own);

  result["peers"] = json::object();
  std::vector<measured_peer> peers;
  for (const std::string name : row.at("peers")) {
    auto values = values_of(heats, name, peer_arguments_of(row), measure);
    result["peers"][name] = values.empty() ? json(nullptr) : summary(values);
    if (!values.empty()) peers.push_back({name, std::move(values)});
  }

  const auto peer = peer_to_beat(row, std::move(peers));
  result["peer_to_beat"] = peer ? json(peer->name) : json(nullptr);
  result["ratio"] = nullptr;
  result["excess"] = nullptr;
  if (peer && !own.empty()) {
    result["ratio"] = median_over_rounds(own, peer->values, std::divides<>());
    result["excess"] = median_over_rounds(own, peer->values, std::minus<>());
  }

  const json value = own.empty() ? json(nullptr) : json(median(own));
  for (const auto& [target, reached] :
       {std::pair<std::string, json>{"target_ratio", result["ratio"]},
        {"target_excess", result["excess"]},
        {"target_value", value}}) {
    if (!row.contains(target)) continue;
    result[target] = row[target];
    if (!reached.is_null())
      result["met"] = lower ? reached.get<double>() <= row[target].get<double>()
                            : reached.get<double>() >= row[target].get<double>();
    break;
  }
  return result;
}

std::string target_cell(const json& row) {
  const auto* const sign = row["better"] == "lower" ? "<=" : ">=";
  std::string target;
  if (row.contains("target_ratio"))
    target = fmt::format("{} {:.4g}", sign, row["target_ratio"].get<double>());
  if (row.contains("target_excess"))
    target = fmt::format("{} peer + {:.4g} {}", sign, row["target_excess"].get<double>(),
                         row["unit"].get<std::string>());
  if (row.contains("target_value"))
    target = fmt::format("heddle {} {:.4g} {}", sign, row["target_value"].get<double>(),
                         row["unit"].get<std::string>());
  if (row.contains("met")) return target + (row["met"].get<bool>() ? ": met" : ": MISSED");
  return target.empty() ? target : target + ": not measured";
}

void print_table(const std::string& title, const json& result) {
  fmt::print("## {}\n\n{}, {}, commit {}. Median [min-max].\n\n", title,
             result["machine"].get<std::string>(), result["compiler"].get<std::string>(),
             result["commit"].get<std::string>());
  fmt::print("| Row | Unit, better | heddle | Peers | Ratio to a peer | Target |\n");
  fmt::print("|---|---|---|---|---|---|\n");
  for (const auto& row : result["rows"]) {
    std::string peers;
    for (const auto& [name, peer] : row["peers"].items())
      peers += fmt::format("{}{} {}", peers.empty() ? "" : ", ", name,
                           peer.is_null() ? "not measured" : shown(peer));
    const auto ratio = row["ratio"].is_null()
                           ? std::string("not measured")
                           : fmt::format("{:.3g} ({})", row["ratio"].get<double>(),
                                         row["peer_to_beat"].get<std::string>());
    fmt::print("| {} | {}, {} | {} | {} | {} | {} |\n", row["row"].get<std::string>(),
               row["unit"].get<std::string>(), row["better"].get<std::string>(),
               row["heddle"].is_null() ? "not measured" : shown(row["heddle"]), peers, ratio,
               target_cell(row));
  }
}

// The contenders of the plan that are installed.
field contenders_of(const json& plan, const fs::path& folder) {
  field there;
  for (const auto& [name, description] : plan.at("contenders").items()) {
    contender one{name, {}, description.value("jobs", 1L), "/dev/null"};
    for (const std::string word : description.at("command"))
      one.command.push_back(replaced(word, "{tmp}", folder.string()));
    if (!is_there(one.command.at(0))) {
      fmt::print(stderr, "{}: {} is not there, so it is not measured\n", name, one.command[0]);
      continue;
    }
    if (description.contains("stdin")) {
      one.input = (folder / (name + ".stdin")).string();
      std::ofstream lines(one.input);
      for (long i = 1; i <= one.jobs; ++i) lines << i << '\n';
    }
    there.emplace(name, std::move(one));
  }
  return there;
}

// What has to run for these rows. A row shares the runs of earlier ones where the arguments agree.
std::vector<heat> heats_of(const json& rows, const field& there) {
  std::vector<heat> heats;
  const auto enter = [&](const std::string& name, const words& arguments) {
    const auto found = there.find(name);
    if (found == there.end()) return;
    auto place = std::find_if(heats.begin(), heats.end(),
                              [&](const heat& one) { return one.arguments == arguments; });
    if (place == heats.end()) place = heats.insert(place, heat{arguments, {}});
    for (const auto& entrant : place->entrants)
      if (entrant.who == &found->second) return;
    place->entrants.push_back({&found->second, {}});
  };
  for (const auto& row : rows) {
    enter(row.value("heddle", "heddle"), arguments_of(row));
    for (const std::string peer : row.at("peers")) enter(peer, peer_arguments_of(row));
  }
  return heats;
}

// Round 0 warms up and is not kept. Each round starts with another contender.
void run_rounds(std::vector<heat>& heats, int rounds, const fs::path& folder) {
  for (int round = 0; round <= rounds; ++round) {
    fmt::print(stderr, "round {} of {}{}\n", round, rounds, round == 0 ? " (warm-up)" : "");
    for (auto& one : heats) {
      const auto size = one.entrants.size();
      for (std::size_t i = 0; i < size; ++i) {
        auto& next = one.entrants[(i + static_cast<std::size_t>(round)) % size];
        auto result = run(*next.who, one.arguments, folder);
        if (round > 0) next.samples.push_back(std::move(result));
      }
    }
  }
}

struct choices {
  words rows;  // parts of their names; empty: all
  words contenders;
  std::optional<int> rounds;
};

choices choices_of(std::span<char*> arguments) {
  choices chosen;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string option = arguments[i];
    if (i + 1 == arguments.size()) throw std::invalid_argument(option + " wants a value");
    const std::string value = arguments[i + 1];
    if (option == "--rows") {
      chosen.rows = split_at_commas(value);
    } else if (option == "--contenders") {
      chosen.contenders = split_at_commas(value);
    } else if (option == "--rounds") {
      chosen.rounds = std::stoi(value);
      if (*chosen.rounds < 1) throw std::invalid_argument("--rounds wants at least 1");
    } else {
      throw std::invalid_argument("no such option: " + option);
    }
  }
  return chosen;
}

// The plan without what was not chosen.
json chosen_part(json plan, const choices& chosen) {
  if (!chosen.rows.empty()) {
    json rows = json::array();
    for (const auto& row : plan.at("rows")) {
      const std::string name = row.at("row");
      if (std::any_of(chosen.rows.begin(), chosen.rows.end(),
                      [&](const auto& part) { return name.find(part) != std::string::npos; }))
        rows.push_back(row);
    }
    plan["rows"] = std::move(rows);
  }
  if (!chosen.contenders.empty()) {
    json contenders = json::object();
    for (const auto& name : chosen.contenders) contenders[name] = plan.at("contenders").at(name);
    plan["contenders"] = std::move(contenders);
    for (auto& row : plan.at("rows")) {
      auto peers = row.at("peers").get<words>();
      std::erase_if(peers, [&](const auto& peer) { return !plan["contenders"].contains(peer); });
      row["peers"] = std::move(peers);
    }
  }
  if (chosen.rounds) plan["rounds"] = *chosen.rounds;
  return plan;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    fmt::print(stderr,
               "usage: bench_runner PLAN BIN_DIR OUTPUT.json COMMIT [--rows TEXT,...]\n"
               "                    [--contenders NAME,...] [--rounds N]\n");
    return 2;
  }
  std::string pattern = (fs::temp_directory_path() / "heddle-bench-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data()) ? pattern : std::string();
  try {
    if (folder.empty()) fail_with_errno("mkdtemp");
    const std::span options(argv + 5, static_cast<std::size_t>(argc - 5));
    const auto text = replaced(read_file(argv[1]), "{bin}", argv[2]);
    const json plan = chosen_part(json::parse(text), choices_of(options));
    const auto there = contenders_of(plan, folder);
    auto heats = heats_of(plan.at("rows"), there);
    if (heats.empty()) throw std::runtime_error("no contender is there, or no such row");
    run_rounds(heats, plan.value("rounds", 7), folder);

    json result{{"machine", machine()}, {"compiler", HEDDLE_COMPILER}, {"commit", argv[4]}};
    result["rows"] = json::array();
    for (const auto& row : plan.at("rows")) result["rows"].push_back(row_result(row, heats));
    print_table(plan.at("title"), result);
    std::ofstream(argv[3]) << result.dump(2) << '\n';
    fs::remove_all(folder);
    return 0;
  } catch (const std::exception& caught) {
    fmt::print(stderr, "bench_runner: {}\n", caught.what());
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    return 1;
  }
}
