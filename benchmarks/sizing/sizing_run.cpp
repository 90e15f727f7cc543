// Runs one load under one contender and tells what happened.
//
// usage: sizing_run LOAD CONTENDER SECONDS [--json] [--warm-up SECONDS] [--phase SECONDS]
//                   [--turns PER_MICROSECOND]
//        sizing_run --list
//        sizing_run --calibrate      how many turns of the computing loop take a microsecond
//
// LOAD is a name that --list shows, or mix:SEED. CONTENDER is fixed:N, cores, 2xcores, min32,
// adaptive, dotnet, gradient2 or aimd.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>

#include "loads.hpp"
#include "run.hpp"
#include "work.hpp"

namespace {

using json = nlohmann::ordered_json;

void print_json(const bench::run_settings& settings, const bench::run_result& result) {
  json out{{"load", settings.load},
           {"contender", settings.contender},
           {"bucket_seconds", bench::run_result::bucket_seconds},
           {"completed", result.completed},
           {"task_p99", result.task_p99},
           {"task_mean", result.task_mean},
           {"cpu_seconds", result.cpu_seconds},
           {"controller_seconds", result.controller_seconds},
           {"foreign_cores", result.foreign_cores},
           {"windows", result.choices.windows},
           {"remark", result.remark}};
  out["phases"] = json::array();
  for (const auto& one : result.phases)
    out["phases"].push_back({{"at", one.at}, {"name", one.name}});
  out["sizes"] = json::array();
  for (const auto& one : result.choices.changes)
    out["sizes"].push_back({{"at", one.at},
                            {"size", one.answer.size},
                            {"cause", heddle::sizing::to_string(one.answer.why)},
                            {"reason", one.answer.reason}});
  fmt::print("{}\n", out.dump());
}

void print_text(const bench::run_result& result) {
  if (!result.remark.empty()) fmt::print("{}\n", result.remark);
  fmt::print("{:>8} {:>9} {:>6}  phase\n", "s", "tasks/s", "size");
  const auto& changes = result.choices.changes;
  for (std::size_t i = 0; i < result.completed.size(); ++i) {
    const double begin = static_cast<double>(i) * bench::run_result::bucket_seconds;
    const double end = begin + bench::run_result::bucket_seconds;
    int size = 0;
    for (const auto& one : changes)
      if (one.at < end) size = one.answer.size;
    std::string phase;
    for (const auto& one : result.phases)
      if (one.at < end) phase = one.name;
    fmt::print("{:8.2f} {:9.0f} {:>6}  {}\n", begin,
               static_cast<double>(result.completed[i]) / bench::run_result::bucket_seconds,
               size == 0 ? std::string() : std::to_string(size), phase);
  }
  fmt::print("\n");
  for (const auto& one : changes)
    fmt::print(
        "{:8.3f} s: {} -> {}, {}: {} [cores {:.2f} busy {:.1f} computing {:.2f} runnable {:.2f} "
        "done {} "
        "queued {} switches {} foreign {:.2f} throttled {:.2f}, {:.1f} ms]\n",
        one.at, one.before, one.answer.size, heddle::sizing::to_string(one.answer.why),
        one.answer.reason, one.signals.cores, one.signals.busy, one.signals.computing,
        one.signals.runnable, one.signals.completed, one.signals.queued,
        one.signals.voluntary_switches, one.signals.foreign, one.signals.throttled,
        std::chrono::duration<double, std::milli>(one.signals.length).count());
  std::uint64_t all = 0;
  for (const auto count : result.completed) all += count;
  fmt::print(
      "tasks {}, task time mean {:.1f} us, p99 {:.1f} us, CPU {:.2f} s, of it the controller "
      "{:.4f} s, "
      "{} windows; others used {:.2f} cores\n",
      all, result.task_mean, result.task_p99, result.cpu_seconds, result.controller_seconds,
      result.choices.windows, result.foreign_cores);
}

int run(std::span<char*> arguments) {
  if (arguments.size() == 1 && arguments[0] == std::string("--list")) {
    for (const auto& one : bench::named_loads()) fmt::print("{:14} {}\n", one.name, one.text);
    return 0;
  }
  if (arguments.size() == 1 && arguments[0] == std::string("--calibrate")) {
    fmt::print("{}\n", bench::measure_turns_per_microsecond());
    return 0;
  }
  if (arguments.size() < 3)
    throw std::invalid_argument("usage: sizing_run LOAD CONTENDER SECONDS [OPTION]...");
  bench::run_settings settings{
      .load = arguments[0], .contender = arguments[1], .seconds = std::stod(arguments[2])};
  settings.warm_up = std::min(1., settings.seconds / 2);
  bool as_json = false;
  for (std::size_t i = 3; i < arguments.size(); ++i) {
    const std::string option = arguments[i];
    if (option == "--json") {
      as_json = true;
      continue;
    }
    if (i + 1 == arguments.size()) throw std::invalid_argument(option + " wants a value");
    const double value = std::stod(arguments[++i]);
    if (option == "--warm-up") {
      settings.warm_up = value;
    } else if (option == "--phase") {
      settings.phase_seconds = value;
    } else if (option == "--turns") {
      settings.turns_per_microsecond = value;
    } else {
      throw std::invalid_argument("no such option: " + option);
    }
  }
  const auto result = bench::run(settings);
  if (as_json) {
    print_json(settings, result);
  } else {
    print_text(result);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
  } catch (const std::exception& caught) {
    fmt::print(stderr, "sizing_run: {}\n", caught.what());
    return 2;
  }
}
