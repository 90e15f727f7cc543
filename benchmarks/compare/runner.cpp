// Runs what a plan lists, each contender in a process of its own, all of them once a round in an
// order that turns from round to round, and tells how heddle compares with the best of its peers.
//
// usage: bench_runner PLAN BIN_DIR OUTPUT.json COMMIT
//
// The plan is JSON:
//   title       what the table is called
//   rounds      how many rounds count; one more is run first and thrown away
//   contenders  NAME: {"command": [...], "jobs": N, "stdin": "numbers"}
//               {bin} in a word is BIN_DIR, {tmp} a folder that is removed at the end; stdin is
//               /dev/null, or the numbers 1 to N, a line each; stdout and stderr are dropped, but
//               for a contender whose row measures "printed"
//   rows        {"row", "unit", "better": "lower"|"higher", "measure", "heddle", "peers":
//   [NAME...],
//               "target_ratio", "target_value"}: one line of the table. heddle and peers name
//               contenders ("heddle" if it is not said); the targets may be left out.
// A measure is one of
//   printed                       the number the contender prints
//   wall_seconds, jobs_per_second from start to end of the process
//   own_cpu_microseconds_per_job  user and system time of the process without its children
// The ratio of a row is the median over the rounds of heddle / best peer of the same round. The
// best peer is the one with the best median. A peer that is not installed is "not measured".
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

extern char** environ;

namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

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
  std::string input;            // path of its stdin
  std::vector<sample> samples;  // one a round
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

sample run(const contender& who, const fs::path& folder) {
  const auto output = folder / "stdout";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, who.input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<std::string> words = who.command;
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const auto started = std::chrono::steady_clock::now();
  pid_t process = 0;
  errno = posix_spawnp(&process, argv[0], &actions, nullptr, argv.data(), environ);
  if (errno != 0) fail_with_errno("cannot start " + words[0]);
  siginfo_t ended{};
  if (waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOWAIT) != 0)
    fail_with_errno("waitid");
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - started;
  sample result{wall.count(), own_cpu_seconds(process), static_cast<double>(who.jobs), {}};
  int status = 0;
  if (waitpid(process, &status, 0) < 0) fail_with_errno("waitpid");
  posix_spawn_file_actions_destroy(&actions);
  if (status != 0)
    throw std::runtime_error(fmt::format("{} ended with wait status {}", who.name, status));
  result.printed = read_file(output);
  return result;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

json summary(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {{"median", median(values)}, {"min", *low}, {"max", *high}, {"n", values.size()}};
}

std::string shown(const json& summary) {
  return fmt::format("{:.4g} [{:.4g}-{:.4g}]", summary["median"].get<double>(),
                     summary["min"].get<double>(), summary["max"].get<double>());
}

using field = std::map<std::string, contender>;

std::vector<double> values_of(const contender& who, const std::string& measure) {
  std::vector<double> values;
  for (const auto& one : who.samples) values.push_back(one.value(measure));
  return values;
}

// One row of the result, from a row of the plan.
json row_result(const json& row, const field& there) {
  const std::string measure = row.at("measure");
  const bool lower = row.at("better") == "lower";
  json result{{"row", row.at("row")}, {"unit", row.at("unit")}, {"better", row.at("better")}};

  std::vector<double> own;
  if (const auto heddle = there.find(row.value("heddle", "heddle")); heddle != there.end())
    own = values_of(heddle->second, measure);
  result["heddle"] = own.empty() ? json(nullptr) : summary(own);

  result["peers"] = json::object();
  std::optional<std::pair<double, std::string>> best;
  for (const std::string name : row.at("peers")) {
    const auto peer = there.find(name);
    if (peer == there.end()) {
      result["peers"][name] = nullptr;
      continue;
    }
    const auto values = values_of(peer->second, measure);
    result["peers"][name] = summary(values);
    const double middle = median(values);
    if (!best || (lower ? middle < best->first : middle > best->first)) best = {middle, name};
  }
  result["best_peer"] = best ? json(best->second) : json(nullptr);
  result["ratio"] = nullptr;
  if (best && !own.empty()) {
    const auto theirs = values_of(there.at(best->second), measure);
    std::vector<double> ratios;
    for (std::size_t i = 0; i < own.size(); ++i) ratios.push_back(own[i] / theirs[i]);
    result["ratio"] = median(ratios);
  }

  const auto meets = [&](double value, double target) {
    return lower ? value <= target : value >= target;
  };
  if (row.contains("target_ratio")) {
    result["target_ratio"] = row["target_ratio"];
    if (!result["ratio"].is_null()) result["met"] = meets(result["ratio"], row["target_ratio"]);
  } else if (row.contains("target_value")) {
    result["target_value"] = row["target_value"];
    if (!own.empty()) result["met"] = meets(median(own), row["target_value"]);
  }
  return result;
}

std::string target_cell(const json& row) {
  const auto* const sign = row["better"] == "lower" ? "<=" : ">=";
  std::string target;
  if (row.contains("target_ratio"))
    target = fmt::format("{} {:.4g}", sign, row["target_ratio"].get<double>());
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
  fmt::print("| Row | Unit, better | heddle | Peers | Ratio to the best peer | Target |\n");
  fmt::print("|---|---|---|---|---|---|\n");
  for (const auto& row : result["rows"]) {
    std::string peers;
    for (const auto& [name, peer] : row["peers"].items())
      peers += fmt::format("{}{} {}", peers.empty() ? "" : ", ", name,
                           peer.is_null() ? "not measured" : shown(peer));
    const auto ratio = row["ratio"].is_null()
                           ? std::string("not measured")
                           : fmt::format("{:.3g} ({})", row["ratio"].get<double>(),
                                         row["best_peer"].get<std::string>());
    fmt::print("| {} | {}, {} | {} | {} | {} | {} |\n", row["row"].get<std::string>(),
               row["unit"].get<std::string>(), row["better"].get<std::string>(),
               row["heddle"].is_null() ? "not measured" : shown(row["heddle"]), peers, ratio,
               target_cell(row));
  }
}

std::string machine() {
  std::string model = "unknown processor";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) == 0) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  }
  utsname kernel{};
  uname(&kernel);
  return fmt::format("{} x {}, Linux {}", sysconf(_SC_NPROCESSORS_ONLN), model, kernel.release);
}

// The contenders of the plan that are installed.
field contenders_of(const json& plan, const std::string& bin, const fs::path& folder) {
  field there;
  for (const auto& [name, description] : plan.at("contenders").items()) {
    contender one{name, {}, description.value("jobs", 1L), "/dev/null", {}};
    for (const std::string word : description.at("command"))
      one.command.push_back(replaced(replaced(word, "{bin}", bin), "{tmp}", folder.string()));
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

// Round 0 warms up and is not kept. Each round starts with another contender.
void run_rounds(field& there, int rounds, const fs::path& folder) {
  std::vector<contender*> order;
  for (auto& [name, one] : there) order.push_back(&one);
  for (int round = 0; round <= rounds; ++round) {
    fmt::print(stderr, "round {} of {}{}\n", round, rounds, round == 0 ? " (warm-up)" : "");
    for (auto* const one : order) {
      auto result = run(*one, folder);
      if (round > 0) one->samples.push_back(std::move(result));
    }
    std::rotate(order.begin(), order.begin() + 1, order.end());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: bench_runner PLAN BIN_DIR OUTPUT.json COMMIT\n");
    return 2;
  }
  std::string pattern = (fs::temp_directory_path() / "heddle-bench-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data()) ? pattern : std::string();
  try {
    if (folder.empty()) fail_with_errno("mkdtemp");
    const json plan = json::parse(std::ifstream(argv[1]));
    auto there = contenders_of(plan, argv[2], folder);
    if (there.empty()) throw std::runtime_error("no contender is there");
    run_rounds(there, plan.value("rounds", 7), folder);

    json result{{"machine", machine()}, {"compiler", HEDDLE_COMPILER}, {"commit", argv[4]}};
    result["rows"] = json::array();
    for (const auto& row : plan.at("rows")) result["rows"].push_back(row_result(row, there));
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
