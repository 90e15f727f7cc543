#include "doctor.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/features.hpp>
#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/text.hpp>
#include <heddle/kernel/topology.hpp>
#include <heddle/sizing/formulas.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {

namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view doctor_help =
    R"(heddle doctor - what Heddle sees of this machine

Usage
  heddle doctor [options]

Prints processors, affinity, CPU quota and the control group that sets it,
caches, memory and its limit, and what the kernel offers; then the number of
threads Heddle would choose for each kind of work, with the reason. Changes
nothing.

Options
      --json        Print the same as one JSON object, for programs.
      --ratio R     Time a task waits / time it computes, for I/O-bound work
                    (default 4).
      --cap N       Never choose more than N threads for I/O-bound work
                    (default 64).
      --root DIR    Read DIR/proc and DIR/sys instead of /proc and /sys: a copy
                    taken elsewhere.
  -h, --help        Print this page.

Examples
  heddle doctor
  heddle doctor --ratio 20        tasks that mostly wait for a database
  heddle doctor --json | jq .usable_cores

Exit status
  0 is success, 2 a wrong command line, 255 an answer that could not be written.
)";

struct doctor_options {
  bool help = false;
  bool json = false;
  std::optional<std::string> root;
  sizing::io_options io;
};

struct named_decision {
  const char* key;
  const char* label;
  sizing::decision decision;
};

struct findings {
  std::string release;  // of the kernel; "" when unknown
  std::string architecture;
  kernel::topology machine;
  kernel::core_budget budget;
  kernel::memory memory;
  kernel::process_limits limits;
  std::optional<kernel::features> features;  // nothing for a recorded tree
  std::vector<named_decision> sizes;
};

int cap_of(const std::string& text) {
  const auto cap = kernel::parse_number<int>(text);
  if (!cap || *cap < 1)
    throw usage_error(
        fmt::format("--cap {}: give a number of threads, at least 1", shortened(text)));
  return *cap;
}

double ratio_of(const std::string& text) {
  double ratio = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, ratio);
  if (failure != std::errc{} || stop != end || !std::isfinite(ratio) || ratio < 0)
    throw usage_error(fmt::format("--ratio {}: give a number such as 4 or 0.5", shortened(text)));
  return ratio;
}

doctor_options parse(int argc, char** argv) {
  doctor_options options;
  std::optional<std::string> ratio;
  std::optional<std::string> cap;
  CLI::App app;
  app.set_help_flag();
  app.add_flag("-h,--help", options.help);
  app.add_flag("--json", options.json);
  app.add_option("--root", options.root)->type_name("DIR");
  app.add_option("--ratio", ratio)->type_name("R");
  app.add_option("--cap", cap)->type_name("N");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    throw usage_error(e.what());
  }
  if (ratio) options.io.wait_to_compute = ratio_of(*ratio);
  if (cap) options.io.cap = cap_of(*cap);
  return options;
}

std::string first_line(const kernel::tree& files, std::string_view path) {
  return std::string(kernel::trim(files.read(path).value_or("")));
}

findings look(const doctor_options& options) {
  const kernel::tree files{options.root.value_or("/")};
  if (options.root && options.root->empty()) throw usage_error("--root: the name is empty");
  if (options.root && !files.exists("proc") && !files.exists("sys"))
    throw usage_error(
        fmt::format("--root {}: there is neither proc nor sys in it", shortened(*options.root)));

  findings f;
  f.release = first_line(files, "proc/sys/kernel/osrelease");
  f.architecture = first_line(files, "proc/sys/kernel/arch");
  if (utsname name{}; f.architecture.empty() && files.live() && ::uname(&name) == 0)
    f.architecture = name.machine;
  f.machine = kernel::read_topology(files);
  f.budget = kernel::read_core_budget(files);
  f.memory = kernel::read_memory(files);
  f.limits = kernel::read_process_limits(files);
  if (files.live()) f.features = kernel::read_features();

  const double cores = f.budget.usable();
  f.sizes = {
      {"cpu_bound", "CPU-bound", sizing::cpu_bound(cores, f.machine.physical_cores())},
      {"mixed", "mixed", sizing::mixed(cores)},
      {"io_bound", "I/O-bound", sizing::io_bound(cores, options.io)},
      {"small_io", "small I/O", sizing::small_io(cores)},
  };
  return f;
}

// Every allowed CPU, in the order in which a pool with this affinity binds its workers.
std::vector<int> order_of(const kernel::topology& machine, kernel::placement policy) {
  return kernel::assign_cpus(machine, {policy}, static_cast<unsigned>(machine.allowed.size()));
}

// "8,0-3"
std::string list_of(std::vector<int> cpus) {
  return kernel::affinity{kernel::placement::listed, std::move(cpus)}.to_string();
}

const char* type_name(kernel::cache_type type) {
  switch (type) {
    case kernel::cache_type::data:
      return "data";
    case kernel::cache_type::instruction:
      return "instruction";
    case kernel::cache_type::unified:
      break;
  }
  return "unified";
}

json to_json(const std::optional<kernel::cpu_quota>& quota) {
  if (!quota) return nullptr;
  return {{"cores", quota->cores()},
          {"quota_us", quota->quota.count()},
          {"period_us", quota->period.count()},
          {"cgroup", quota->cgroup},
          {"cgroup_version", static_cast<int>(quota->version)},
          {"file", quota->file}};
}

json to_json(const std::optional<kernel::cgroup_limit>& limit) {
  if (!limit) return nullptr;
  return {{"value", limit->value},
          {"cgroup", limit->cgroup},
          {"cgroup_version", static_cast<int>(limit->version)},
          {"file", limit->file}};
}

// Unlimited is null, as in "no number".
json to_json(const std::optional<kernel::resource_limit>& limit) {
  if (!limit) return nullptr;
  const auto number = [](std::uint64_t n) {
    return n == kernel::resource_limit::unlimited ? json() : json(n);
  };
  return {{"soft", number(limit->soft)}, {"hard", number(limit->hard)}};
}

std::string to_json_text(const findings& f) {
  json caches = json::array();
  for (const kernel::cache& c : f.machine.caches)
    caches.push_back({{"level", c.level},
                      {"type", type_name(c.type)},
                      {"size_bytes", c.size_bytes},
                      {"line_bytes", c.line_bytes},
                      {"shared_by", c.shared_by.to_string()}});
  json nodes = json::array();
  for (const kernel::numa_node& n : f.machine.nodes)
    nodes.push_back({{"node", n.id},
                     {"cpus", n.cpus.to_string()},
                     {"memory_bytes", n.memory_bytes},
                     {"distances", n.distances}});
  json features = nullptr;
  if (f.features)
    features = {{"pidfd", f.features->pidfd},
                {"membarrier", f.features->membarrier},
                {"psi", f.features->psi},
                {"schedstat", f.features->schedstat}};
  json sizes = json::object();
  for (const named_decision& s : f.sizes)
    sizes[s.key] = {{"threads", s.decision.size}, {"reason", s.decision.reason}};

  const json whole = {
      {"kernel", {{"release", f.release}, {"architecture", f.architecture}}},
      {"cpus",
       {{"online", f.machine.online.to_string()},
        {"online_count", f.machine.online.size()},
        {"allowed", f.machine.allowed.to_string()},
        {"allowed_count", f.machine.allowed.size()},
        {"physical_cores", f.machine.physical_cores()},
        {"packages", f.machine.packages()},
        {"compact_order", list_of(order_of(f.machine, kernel::placement::compact))},
        {"scatter_order", list_of(order_of(f.machine, kernel::placement::scatter))}}},
      {"cpu_quota", to_json(f.budget.quota)},
      {"usable_cores", f.budget.usable()},
      {"caches", std::move(caches)},
      {"numa_nodes", std::move(nodes)},
      {"memory",
       {{"total_bytes", f.memory.total_bytes},
        {"available_bytes", f.memory.available_bytes},
        {"limit", to_json(f.memory.limit)},
        {"usable_bytes", f.memory.usable_bytes()}}},
      {"limits",
       {{"open_files", to_json(f.limits.open_files)},
        {"processes", to_json(f.limits.processes)},
        {"cgroup_tasks", to_json(f.limits.tasks)}}},
      {"features", std::move(features)},
      {"sizes", std::move(sizes)},
  };
  return whole.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

constexpr std::size_t text_width = 80;
constexpr std::size_t value_column = 18;

// A section of "  label           value", long values continued below themselves.
void add_field(std::string& out, std::string_view label, std::string_view value) {
  std::string line = fmt::format("  {:<{}}", label, value_column - 2);
  std::size_t used = line.size();
  bool fresh = true;
  while (!value.empty()) {
    const std::string_view word = kernel::take_word(value);
    if (word.empty()) break;
    if (!fresh && used + 1 + word.size() > text_width) {
      line += '\n' + std::string(value_column, ' ');
      used = value_column;
      fresh = true;
    }
    if (!fresh) line += ' ';
    for (const char c : word) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    used += word.size() + (fresh ? 0 : 1);
    fresh = false;
  }
  out += line + '\n';
}

void add_heading(std::string& out, std::string_view heading) {
  out += fmt::format("\n{}\n", heading);
}

std::string plural(int n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

// Three digits are plenty: "48 KiB", "1.5 MiB", "23.5 GiB".
std::string human_bytes(std::uint64_t bytes) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  std::string number = fmt::format("{:.1f}", value);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number + ' ' + units[unit];
}

std::string bytes_or_unknown(std::uint64_t bytes) {
  return bytes == 0 ? "unknown" : human_bytes(bytes);
}

std::string set_by(const std::string& cgroup, const std::string& file) {
  return fmt::format("set by control group {} ({})", cgroup, file);
}

void add_order(std::string& out, std::string_view label, std::vector<int> order) {
  constexpr std::size_t most = 16;
  const bool is_cut = order.size() > most;
  if (is_cut) order.resize(most);
  add_field(out, label, fmt::format("{}{}", fmt::join(order, ", "), is_cut ? ", ..." : ""));
}

void add_processors(std::string& out, const findings& f) {
  const kernel::topology& m = f.machine;
  add_heading(out, "Processors");
  add_field(out, "online",
            fmt::format("{}: {}", plural(m.online.size(), "CPU"), m.online.to_string()));
  add_field(out, "allowed",
            m.allowed == m.online ? "all of them"
                                  : fmt::format("{} of them: {} (affinity mask and cpusets)",
                                                m.allowed.size(), m.allowed.to_string()));
  const int cores = m.physical_cores();
  const int cpus = m.allowed.size();
  add_field(out, "physical cores",
            fmt::format("{} in {}, {}", cores, plural(m.packages(), "package"),
                        cpus % cores == 0 ? plural(cpus / cores, "thread") + " each"
                                          : fmt::format("for {}", plural(cpus, "CPU"))));
  if (const auto& quota = f.budget.quota)
    add_field(out, "CPU quota",
              fmt::format("{:.4g} cores ({} ms in every {} ms), {}", quota->cores(),
                          static_cast<double>(quota->quota.count()) / 1000,
                          static_cast<double>(quota->period.count()) / 1000,
                          set_by(quota->cgroup, quota->file)));
  else
    add_field(out, "CPU quota", "none");
  add_field(out, "usable cores",
            fmt::format("{:.4g}, {}", f.budget.usable(),
                        f.budget.usable() < f.budget.allowed ? "what the quota allows"
                                                             : "every allowed CPU"));
  add_order(out, "compact order", order_of(m, kernel::placement::compact));
  add_order(out, "scatter order", order_of(m, kernel::placement::scatter));
}

// Alike caches in one line: "L2   2 x 1 MiB, one for each CPU".
void add_caches(std::string& out, const findings& f) {
  add_heading(out, "Caches");
  const auto& caches = f.machine.caches;
  if (caches.empty()) out += "  unknown\n";
  for (auto first = caches.begin(); first != caches.end();) {
    const auto is_other_kind = [&first](const kernel::cache& c) {
      return c.level != first->level || c.type != first->type;
    };
    const auto end = std::find_if(first, caches.end(), is_other_kind);
    std::string label = fmt::format("L{}", first->level);
    if (first->type != kernel::cache_type::unified)
      label += fmt::format(" {}", type_name(first->type));
    for (; first != end;) {
      const auto is_unlike = [&first](const kernel::cache& c) {
        return c.size_bytes != first->size_bytes || c.shared_by.size() != first->shared_by.size();
      };
      const auto alike_end = std::find_if(first, end, is_unlike);
      const int sharers = first->shared_by.size();
      add_field(out, label,
                fmt::format(
                    "{} x {}, {}", alike_end - first, bytes_or_unknown(first->size_bytes),
                    sharers == 1 ? "one for each CPU" : fmt::format("shared by {} CPUs", sharers)));
      first = alike_end;
    }
  }
}

void add_nodes(std::string& out, const findings& f) {
  add_heading(out, "NUMA");
  for (const kernel::numa_node& n : f.machine.nodes) {
    std::string text = n.cpus.empty() ? "no CPUs" : "CPUs " + n.cpus.to_string();
    if (f.machine.nodes.size() > 1 && n.memory_bytes != 0)
      text += ", " + human_bytes(n.memory_bytes);
    if (f.machine.nodes.size() > 1 && !n.distances.empty())
      text += fmt::format(", distances {}", fmt::join(n.distances, " "));
    add_field(out, fmt::format("node {}", n.id), text);
  }
}

void add_memory(std::string& out, const findings& f) {
  add_heading(out, "Memory");
  add_field(out, "total", bytes_or_unknown(f.memory.total_bytes));
  add_field(out, "available", bytes_or_unknown(f.memory.available_bytes));
  if (const auto& limit = f.memory.limit)
    add_field(out, "limit", human_bytes(limit->value) + ", " + set_by(limit->cgroup, limit->file));
  else
    add_field(out, "limit", "none");
}

std::string describe(const std::optional<kernel::resource_limit>& limit) {
  constexpr std::uint64_t unlimited = kernel::resource_limit::unlimited;
  if (!limit) return "unknown";
  if (limit->soft == unlimited) return "unlimited";
  std::string text = std::to_string(limit->soft);
  if (limit->hard == unlimited) text += ", may be raised without limit";
  if (limit->hard != unlimited && limit->hard > limit->soft)
    text += fmt::format(", may be raised to {}", limit->hard);
  return text;
}

void add_limits(std::string& out, const findings& f) {
  add_heading(out, "Limits");
  add_field(out, "open files", describe(f.limits.open_files));
  add_field(out, "processes", describe(f.limits.processes) + " (threads of this user)");
  if (const auto& tasks = f.limits.tasks)
    add_field(out, "tasks",
              fmt::format("{} threads, {}", tasks->value, set_by(tasks->cgroup, tasks->file)));
}

void add_features(std::string& out, const findings& f) {
  if (!f.features) return;
  const auto add = [&out](std::string_view name, bool present, std::string_view with,
                          std::string_view without) {
    add_field(out, name, present ? fmt::format("yes: {}", with) : fmt::format("no: {}", without));
  };
  add_heading(out, "Kernel features");
  add("pidfd", f.features->pidfd, "children are awaited without signals",
      "needs Linux 5.3, and a sandbox that allows pidfd_open");
  add("membarrier", f.features->membarrier, "rare writers can pay for the fences of readers",
      "needs Linux 4.14, and a sandbox that allows membarrier");
  add("pressure", f.features->psi, "waiting for CPU, memory and I/O can be measured",
      "needs Linux 4.20 with PSI switched on (psi=1)");
  add("schedstat", f.features->schedstat, "a thread's time on and off the CPU can be measured",
      "needs a kernel with CONFIG_SCHED_INFO");
}

std::string to_text(const findings& f) {
  std::string out = fmt::format("Linux {}", f.release.empty() ? "(unknown release)" : f.release);
  if (!f.architecture.empty()) out += fmt::format(" on {}", f.architecture);
  out += '\n';
  add_processors(out, f);
  add_caches(out, f);
  add_nodes(out, f);
  add_memory(out, f);
  add_limits(out, f);
  add_features(out, f);
  add_heading(out, "Threads Heddle would choose");
  for (const named_decision& s : f.sizes)
    add_field(out, fmt::format("{:<10}{:>4}", s.label, s.decision.size), s.decision.reason);
  return out;
}

void write_to_stdout(std::string_view text) {
  std::signal(SIGPIPE, SIG_IGN);
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::system_error(errno, std::generic_category(), "standard output");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

int complain(int status, std::string_view message, std::string_view hint = "") {
  std::fputs(fmt::format("heddle doctor: {}{}\n", message, hint).c_str(), stderr);
  return status;
}

}  // namespace

int run_doctor(int argc, char** argv) {
  try {
    const doctor_options options = parse(argc, argv);
    if (options.help) {
      write_to_stdout(doctor_help);
      return 0;
    }
    const findings f = look(options);
    write_to_stdout(options.json ? to_json_text(f) : to_text(f));
    return 0;
  } catch (const usage_error& e) {
    return complain(exit_usage, e.what(), " (see heddle doctor --help)");
  } catch (const std::exception& e) {
    return complain(exit_trouble, e.what());
  }
}

}  // namespace heddle::tool
