#include "map_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "failure.hpp"
#include "option_table.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

std::chrono::nanoseconds duration_of(std::string_view option, std::string_view text) {
  const auto parsed = parse_duration(text);
  if (!parsed) {
    throw usage_error(fmt::format("{} {}: give a time such as 10, 1.5, 200ms, 5m or 1h", option,
                                  shortened(text)));
  }
  return *parsed;
}

std::string file_name(std::string_view option, std::string_view text) {
  if (text.empty()) throw usage_error(fmt::format("{}: the name is empty", option));
  return std::string(text);
}

void set_timeout(map_options& o, std::string_view text) {
  o.timeout = duration_of("--timeout", text);
  if (o.timeout.count() == 0) throw usage_error("--timeout 0: no job could ever finish");
}

void set_retries(map_options& o, std::string_view text) {
  const auto count = parse_count(text);
  if (!count || *count > 1'000'000) {
    throw usage_error(
        fmt::format("--retries {}: give a number from 0 to 1000000", shortened(text)));
  }
  o.retries = static_cast<unsigned>(*count);
}

void set_halt(map_options& o, std::string_view text) {
  o.halt = halt_form::never;
  if (text == "never") return;
  const auto comma = text.find(',');
  const std::string_view when = text.substr(0, comma);
  std::string_view condition = comma == text.npos ? "" : text.substr(comma + 1);
  const bool counts_failures = condition.starts_with("fail=");
  if (counts_failures) condition.remove_prefix(5);
  const auto count = parse_count(condition);
  if ((when != "soon" && when != "now") || !counts_failures || !count || *count == 0) {
    throw usage_error(fmt::format(
        "--halt {}: give soon,fail=N or now,fail=N with N above 0, or never", shortened(text)));
  }
  o.halt = when == "now" ? halt_form::now : halt_form::soon;
  o.halt_failures = *count;
}

void set_report(map_options& o, std::string_view text) {
  if (text.empty() || text == "text") {
    o.report = report_form::text;
  } else if (text == "json") {
    o.report = report_form::json;
  } else {
    throw usage_error(fmt::format("--report={}: give text or json", shortened(text)));
  }
}

void set_jobserver(map_options& o, std::string_view text) {
  if (text.empty()) {
    o.jobserver = jobserver_style::best;
  } else if (text == "fifo") {
    o.jobserver = jobserver_style::fifo;
  } else if (text == "pipe") {
    o.jobserver = jobserver_style::pipe;
  } else {
    throw usage_error(fmt::format("--jobserver={}: give fifo or pipe", shortened(text)));
  }
}

void set_spill_limit(map_options& o, std::string_view text) {
  const auto size = parse_size(text);
  if (!size || *size == 0) {
    throw usage_error(
        fmt::format("--spill-limit {}: give a size such as 500M or 20G", shortened(text)));
  }
  o.spill_limit = *size;
}

constexpr option<map_options> input_options[] = {
    {'a', "arg-file", takes::value, "FILE",
     "Read inputs from FILE instead of standard input; - is standard input. Given several times, "
     "the files combine like several :::.",
     [](map_options& o, std::string_view v) { o.input_files.push_back(file_name("-a", v)); }},
    {'0', "null", takes::nothing, "",
     "Inputs in files end with a NUL byte instead of a newline, as from find -print0.",
     [](map_options& o, std::string_view) { o.null_separated = true; }},
    {0, "shell", takes::nothing, "",
     "Join the words of the command and give them to /bin/sh -c, with every input put in as one "
     "quoted word. Do not quote the placeholders yourself.",
     [](map_options& o, std::string_view) { o.shell = true; }},
};

constexpr option<map_options> running_options[] = {
    {'j', "jobs", takes::value, "N",
     "Run N jobs at once: a number, a share of the usable cores such as 50% or 200%, or auto (the "
     "default): begin with one job for each core that affinity and cgroup quota leave, then look "
     "at what the jobs do and run as many as use the machine best. auto:N is at most N. Started by "
     "make -j, auto shares make's job slots.",
     [](map_options& o, std::string_view v) { o.jobs = parse_parallelism(v); }},
    {0, "explain", takes::nothing, "", "Tell on standard error what auto decides, and why.",
     [](map_options& o, std::string_view) { o.explain = true; }},
    {0, "jobserver", takes::optional_value, "fifo|pipe",
     "Share the job slots with makes and other builds that run in the jobs: all together they run "
     "no more than -j says.",
     set_jobserver},
    {0, "timeout", takes::value, "TIME",
     "Stop a job that runs longer: SIGTERM to its process group, SIGKILL 2 seconds later. "
     "TIME is in seconds, or 200ms, 5m, 1h.",
     set_timeout},
    {0, "retries", takes::value, "N",
     "Run a failed job again, up to N more times, after a pause that doubles from 0.1 to 30 "
     "seconds, with jitter. Only the last attempt's output is kept.",
     set_retries},
    {0, "delay", takes::value, "TIME", "Wait so long between the starts of two jobs.",
     [](map_options& o, std::string_view v) { o.delay = duration_of("--delay", v); }},
    {0, "halt", takes::value, "WHEN",
     "soon,fail=N: after N failed jobs start no more. now,fail=N: also stop the running ones.",
     set_halt},
    {0, "dry-run", takes::nothing, "", "Print the commands instead of running them.",
     [](map_options& o, std::string_view) { o.dry_run = true; }},
};

constexpr option<map_options> output_options[] = {
    {'k', "keep-order", takes::nothing, "",
     "Print outputs in the order of the inputs. Without it, in the order in which jobs end.",
     [](map_options& o, std::string_view) { o.keep_order = true; }},
    {'u', "ungroup", takes::nothing, "",
     "Let jobs write straight to our standard output and error, where they may mix.",
     [](map_options& o, std::string_view) { o.ungroup = true; }},
    {0, "tag", takes::nothing, "", "Begin every line of output with the input and a tab.",
     [](map_options& o, std::string_view) { o.tag = true; }},
    {0, "results", takes::value, "DIR",
     "Keep each job's output too, in DIR/SEQ/stdout, DIR/SEQ/stderr and DIR/SEQ/seq.",
     [](map_options& o, std::string_view v) { o.results = file_name("--results", v); }},
    {0, "spill-limit", takes::value, "SIZE",
     "Start no new job while outputs that wait on disk take more than this (default 4G).",
     set_spill_limit},
};

constexpr option<map_options> record_options[] = {
    {0, "joblog", takes::value, "FILE",
     "Write a line for each finished job, in GNU parallel's columns.",
     [](map_options& o, std::string_view v) { o.joblog = file_name("--joblog", v); }},
    {0, "sync", takes::nothing, "", "Make every line of the joblog durable before going on.",
     [](map_options& o, std::string_view) { o.sync = true; }},
    {0, "resume", takes::nothing, "", "Skip the jobs that the joblog has, and append to it.",
     [](map_options& o, std::string_view) { o.resume = true; }},
    {0, "resume-failed", takes::nothing, "",
     "Skip only the jobs that the joblog has as successful.",
     [](map_options& o, std::string_view) { o.resume = o.resume_failed = true; }},
    {0, "bar", takes::nothing, "",
     "Show progress, rate and time left on standard error, if that is a terminal.",
     [](map_options& o, std::string_view) { o.bar = true; }},
    {0, "report", takes::optional_value, "text|json",
     "At the end, tell on standard error what ran, how long it took and how well it ran in "
     "parallel.",
     set_report},
    {'h', "help", takes::nothing, "", "Print this page.",
     [](map_options& o, std::string_view) { o.help = true; }},
};

constexpr option_group<map_options> groups[] = {
    {"Inputs and command", input_options},
    {"Running", running_options},
    {"Output", output_options},
    {"Records", record_options},
};

void check_together(const map_options& o) {
  if (o.command.empty()) {
    throw usage_error("no command given; try: heddle map echo {} ::: one two three");
  }
  if (o.explain && o.jobs.what != parallelism::kind::automatic) {
    throw usage_error("--explain tells what -j auto decides, so it excludes other sizes");
  }
  if (o.ungroup && (o.keep_order || o.tag || !o.results.empty())) {
    const std::string_view other = o.keep_order ? "-k" : o.tag ? "--tag" : "--results";
    throw usage_error(fmt::format("-u lets outputs pass by unseen, so it excludes {}", other));
  }
  if ((o.resume || o.sync) && o.joblog.empty()) {
    throw usage_error(fmt::format("--{} needs --joblog FILE", o.resume_failed ? "resume-failed"
                                                              : o.resume      ? "resume"
                                                                              : "sync"));
  }
  if (std::count(o.input_files.begin(), o.input_files.end(), "-") > 1) {
    throw usage_error("standard input can be read only once, so -a - may be given only once");
  }
}

}  // namespace

map_options parse_map_options(const std::vector<std::string>& words) {
  map_options options;
  std::size_t next = option_reader<map_options>("heddle map", groups, words, options).read();
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

std::string map_help() {
  std::string page = R"(heddle map - run a command once for each of many inputs, several at a time

Usage
  heddle map [options] command [words]... [::: inputs]...

  Options end at the first word that is none: everything after it, up to the
  first :::, belongs to the command. Inputs are the words after :::, or the
  lines of standard input, read as they arrive. Several ::: give every
  combination, the last one varying fastest.

Placeholders in the command, for the input dir/file.txt
  {}    dir/file.txt          {/}   file.txt          {#}  the job's number,
  {.}   dir/file              {/.}  file                   from 1
  {//}  dir                   {2}   the second source; also {2.} {2/} ...
  Without one, the input becomes the last word. The command is run directly,
  with no shell between, so any byte in a file name is safe.
)";
  page += describe<map_options>(groups);
  page += R"(
How output is printed
  The output of a job is printed whole when the job has ended, standard output
  and standard error each to its own stream, and never mixes with another's.
  With -k or -j 1, and for the last job running, it passes through as it comes.
  Jobs get /dev/null as standard input.

Signals
  The first Ctrl-C (or SIGTERM, SIGHUP, ...) starts no more jobs and sends
  SIGTERM to the running ones; the second one kills them, and so does Ctrl-\ at
  once. heddle then dies of that signal.

Exit status
  0          all jobs succeeded, or there were none
  1 to 100   so many jobs failed
  101        more than 100 jobs failed
  2          the command line is wrong
  255        anything else: command not found, unreadable input, disk full, ...

Examples
  heddle map -k sha256sum ::: *.iso > sums
  find . -name '*.wav' -print0 | heddle map -0 --bar flac -s {} -o {.}.flac
  heddle map --shell 'zcat {} | wc -l > {/.}.count' ::: logs/*.gz
  heddle map --joblog log --retries 3 --timeout 60 curl -fsSO < urls
  heddle map --joblog log --resume-failed curl -fsSO < urls
  heddle map --jobserver make -C ::: */
)";
  return page;
}

}  // namespace heddle::tool
