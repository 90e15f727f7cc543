#include "profile_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include "failure.hpp"
#include "option_table.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

constexpr std::array<std::pair<std::string_view, builtin_work>, 5> kernels{{
    {"cpu", builtin_work::cpu},
    {"io", builtin_work::io},
    {"memory", builtin_work::memory},
    {"lock", builtin_work::lock},
    {"mixed", builtin_work::mixed},
}};

void set_kernel(profile_options& o, std::string_view text) {
  for (const auto& [name, what] : kernels) {
    if (name == text) {
      o.kernel = what;
      return;
    }
  }
  throw usage_error(
      fmt::format("--kernel {}: give cpu, io, memory, lock or mixed", shortened(text)));
}

int size_of(std::string_view option, std::string_view text) {
  const auto size = parse_count(text);
  if (!size || *size == 0 || *size > static_cast<unsigned>(most_at_once)) {
    throw usage_error(fmt::format("{}: {} is no size: give whole numbers from 1 to {}", option,
                                  text.empty() ? "an empty word" : shortened(text), most_at_once));
  }
  return static_cast<int>(*size);
}

void set_sizes(profile_options& o, std::string_view text) {
  o.sizes.clear();
  for (;;) {
    const auto comma = text.find(',');
    o.sizes.push_back(size_of("--sizes", text.substr(0, comma)));
    if (comma == text.npos) break;
    text.remove_prefix(comma + 1);
  }
  std::sort(o.sizes.begin(), o.sizes.end());
  const auto twice = std::adjacent_find(o.sizes.begin(), o.sizes.end());
  if (twice != o.sizes.end()) {
    throw usage_error(fmt::format("--sizes: {} is there more than once", *twice));
  }
}

void set_precision(profile_options& o, std::string_view text) {
  std::string_view digits = text;
  const bool in_percent = digits.ends_with('%');
  if (in_percent) digits.remove_suffix(1);
  double number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number, std::chars_format::fixed);
  const double share = in_percent ? number / 100 : number;
  if (error != std::errc{} || stop != end || !(share >= 0.001 && share <= 0.5)) {
    throw usage_error(
        fmt::format("--precision {}: give a share from 0.1% to 50%", shortened(text)));
  }
  o.precision = share;
}

void set_time_limit(profile_options& o, std::string_view text) {
  const auto limit = parse_duration(text);
  if (!limit || limit->count() == 0) {
    throw usage_error(
        fmt::format("--time-limit {}: give a time such as 30, 90s, 5m or 1h", shortened(text)));
  }
  o.time_limit = *limit;
}

void set_once(profile_options& o, std::string_view text) {
  o.once = true;
  if (text.empty()) return;
  const auto steps = parse_count(text);
  if (!steps || *steps == 0 || *steps > 1'000'000'000) {
    throw usage_error(
        fmt::format("--once={}: give a number of steps, at least 1", shortened(text)));
  }
  o.steps = *steps;
}

void set_waiters(profile_options& o, std::string_view text) {
  if (text == "threads") {
    o.waiters = waiter_kind::threads;
  } else if (text == "coroutines") {
    o.waiters = waiter_kind::coroutines;
  } else {
    throw usage_error(fmt::format("--waiters {}: give threads or coroutines", shortened(text)));
  }
}

std::string file_name(std::string_view option, std::string_view text) {
  if (text.empty()) throw usage_error(fmt::format("{}: the name is empty", option));
  return std::string(text);
}

using entry = option<profile_options>;

constexpr entry work_options[] = {
    {0, "kernel", takes::value, "KIND",
     "Instead of a command: cpu (computes 1 ms), io (waits 10 ms, computes 0.2 ms), memory (reads "
     "4 MiB that are in no cache), lock (half of its 1 ms under a lock that all share), or mixed "
     "(computes 0.5 ms, waits 2 ms), on pools of threads.",
     set_kernel},
    {0, "once", takes::optional_value, "STEPS",
     "Run one task of the kernel, print nothing and measure nothing; STEPS of computing count as a "
     "millisecond. So --compare runs a task in a process.",
     set_once},
    {0, "waiters", takes::value, "WAY",
     "Run 10,000 tasks that wait, all at the same time, on threads or on coroutines, and print "
     "what "
     "they cost as JSON. So --compare measures each of the two in a process of its own.",
     set_waiters},
    {0, "compare", takes::nothing, "",
     "Run the same CPU-bound and I/O-bound work one task after the other, on threads and in "
     "processes, and 10,000 tasks that wait on threads and on coroutines, and say which to choose.",
     [](profile_options& o, std::string_view) { o.compare = true; }},
    {'a', "arg-file", takes::value, "FILE",
     "Read inputs from FILE instead of standard input; - is standard input. Given several times, "
     "the files combine like several :::.",
     [](profile_options& o, std::string_view v) { o.input_files.push_back(file_name("-a", v)); }},
    {'0', "null", takes::nothing, "",
     "Inputs in files end with a NUL byte instead of a newline, as from find -print0.",
     [](profile_options& o, std::string_view) { o.null_separated = true; }},
    {0, "shell", takes::nothing, "",
     "Join the words of the command and give them to /bin/sh -c, with every input put in as one "
     "quoted word. Do not quote the placeholders yourself.",
     [](profile_options& o, std::string_view) { o.shell = true; }},
    {0, "show-output", takes::nothing, "",
     "Pass what the commands print on to standard error; otherwise it is read and dropped.",
     [](profile_options& o, std::string_view) { o.show_output = true; }},
};

constexpr entry measuring_options[] = {
    {0, "sizes", takes::value, "N,N,...",
     "How many tasks at once: measure these sizes. Without it, sizes are found by a search that "
     "doubles them while that pays and then looks around the best.",
     set_sizes},
    {0, "max", takes::value, "N",
     "The search goes no further (default: what descriptors, threads and memory allow, and 1024 "
     "at most).",
     [](profile_options& o, std::string_view v) { o.max = size_of("--max", v); }},
    {0, "precision", takes::value, "SHARE",
     "Repeat until the 95 % interval of the throughput is as narrow as this to either side "
     "(default 2%).",
     set_precision},
    {0, "time-limit", takes::value, "TIME",
     "Stop measuring after so long, whatever the precision is (default 60s). TIME is in seconds, "
     "or "
     "500ms, 5m, 1h.",
     set_time_limit},
};

constexpr entry output_options[] = {
    {0, "csv", takes::value, "FILE",
     "Write the table as comma-separated values too. In these three, - is standard output, and "
     "the table for people then goes to standard error.",
     [](profile_options& o, std::string_view v) { o.csv = file_name("--csv", v); }},
    {0, "json", takes::value, "FILE", "Write everything that was found as one JSON object.",
     [](profile_options& o, std::string_view v) { o.json = file_name("--json", v); }},
    {0, "svg", takes::value, "FILE",
     "Draw throughput against size: points with intervals, the fitted curve, its peak, and the "
     "recommended size. Fits light and dark pages.",
     [](profile_options& o, std::string_view v) { o.svg = file_name("--svg", v); }},
    {'h', "help", takes::nothing, "", "Print this page.",
     [](profile_options& o, std::string_view) { o.help = true; }},
};

constexpr option_group<profile_options> groups[] = {
    {"What is measured", work_options},
    {"How it is measured", measuring_options},
    {"Output", output_options},
};

void check_together(const profile_options& o) {
  const int works =
      (o.kernel ? 1 : 0) + (o.compare ? 1 : 0) + (o.waiters ? 1 : 0) + (o.command.empty() ? 0 : 1);
  if (works == 0) {
    throw usage_error(
        "nothing to measure; try: heddle profile --kernel io, or: heddle profile -- COMMAND");
  }
  if (works > 1) throw usage_error("give one of a command, --kernel, --waiters and --compare");
  if (o.once && !o.kernel) throw usage_error("--once needs --kernel");
  const bool has_inputs = !o.input_files.empty() || !o.argument_lists.empty();
  if (o.command.empty() && (has_inputs || o.shell || o.show_output || o.null_separated)) {
    throw usage_error(fmt::format(
        "inputs, --shell and --show-output go with a command, not with {}", o.compare ? "--compare"
                                                                            : o.waiters
                                                                                ? "--waiters"
                                                                                : "--kernel"));
  }
  if (o.compare && (!o.sizes.empty() || o.max || !o.csv.empty() || !o.svg.empty())) {
    throw usage_error("--compare has sizes of its own, and prints a table or --json");
  }
  if (o.waiters &&
      (!o.sizes.empty() || o.max || !o.csv.empty() || !o.svg.empty() || !o.json.empty())) {
    throw usage_error("--waiters prints one line, and takes no other options");
  }
  if (!o.sizes.empty() && o.max)
    throw usage_error("--max limits the search, which --sizes replaces");
  if (std::count(o.input_files.begin(), o.input_files.end(), "-") > 1) {
    throw usage_error("standard input can be read only once, so -a - may be given only once");
  }
  if ((o.csv == "-") + (o.json == "-") + (o.svg == "-") > 1) {
    throw usage_error("only one of --csv, --json and --svg can go to standard output");
  }
}

}  // namespace

std::string_view to_string(builtin_work what) noexcept {
  return kernels[static_cast<std::size_t>(what)].first;
}

profile_options parse_profile_options(const std::vector<std::string>& words) {
  profile_options options;
  std::size_t next =
      option_reader<profile_options>("heddle profile", groups, words, options).read();
  if (options.help) return options;

  std::vector<std::string>* into = &options.command;
  for (; next < words.size(); ++next) {
    const std::string& word = words[next];
    if (word == ":::") {
      into = &options.argument_lists.emplace_back();
    } else if (word == "::::" || word == ":::+" || word == "::::+") {
      throw usage_error(fmt::format("{} is not known here; use ::: for words, -a for files", word));
    } else {
      into->push_back(word);
    }
  }
  check_together(options);
  return options;
}

std::string profile_help() {
  std::string page = R"(heddle profile - how throughput depends on the number of tasks at once

Usage
  heddle profile [options] [--] command [words]... [::: inputs]...
  heddle profile [options] --kernel cpu|io|memory|lock|mixed
  heddle profile [options] --compare

  Runs the command with 1, 2, 4, ... at once, over and over, until it is known
  how much each size gets done, and recommends one. Inputs and placeholders are
  those of heddle map; inputs are used again from the first when they have all
  been used. Without inputs, the words are run as they stand.

What is printed
  A line for each size: tasks per second with the 95 % interval, speed-up over
  the smallest size, efficiency (speed-up for each further worker), and what a
  task cost: CPU time, time asleep, and times it went to sleep. Then how well
  the laws of Little and Amdahl and the Universal Scalability Law describe it,
  the recommended size with the reason, and what the adaptive pool, or
  heddle map -j auto, chose for the same work.
)";
  page += describe<profile_options>(groups);
  page += R"(
How it is measured
  A run keeps so many tasks going for a while, and counts those that end. Runs
  of different sizes take turns, so that a disturbance of the machine does not
  hit one size alone. Tasks get /dev/null as standard input.

Signals
  The first Ctrl-C (or SIGTERM, SIGHUP, ...) stops the commands and prints what
  was measured so far; the second one kills them. heddle then dies of that
  signal.

Exit status
  0          measured
  1          some tasks failed, so the figures may mean little
  2          the command line is wrong
  255        anything else: command not found, every task failed, disk full, ...

Examples
  heddle profile -- gzip -k -c ::: logs/*
  heddle profile --sizes 1,2,4,8 -- ./thumbnail {} /tmp/{/} ::: *.jpg
  heddle profile --svg fetch.svg --time-limit 5m -- curl -fso /dev/null < urls
  heddle profile --kernel lock --json -
)";
  return page;
}

}  // namespace heddle::tool
