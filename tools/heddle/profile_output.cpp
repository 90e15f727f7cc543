#include "profile_output.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

// Not emptied yet: what an earlier profile found is kept until there is something new.
process::unique_descriptor open_output(const std::string& name) {
  if (name.empty() || name == "-") return {};
  process::unique_descriptor file(
      ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC,
             S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH));
  if (!file)
    throw run_error(fmt::format("cannot write {}: {}", shortened(name), std::strerror(errno)));
  return file;
}

void write_output(const process::unique_descriptor& file, const std::string& name,
                  std::string_view text) {
  if (name == "-") return write_all(STDOUT_FILENO, text, "standard output");
  if (::ftruncate(file.get(), 0) != 0 && errno != EINVAL) {  // a device is not emptied
    throw run_error(fmt::format("cannot write {}: {}", shortened(name), std::strerror(errno)));
  }
  write_all(file.get(), text, shortened(name));
}

// Tasks in so long a time are numbers that can be read.
struct time_unit {
  double seconds;
  const char* name;
};

time_unit unit_for(double highest_per_second) {
  if (highest_per_second * 60 < 1) return {3600, "tasks per hour"};
  if (highest_per_second < 1) return {60, "tasks per minute"};
  return {1, "tasks per second"};
}

// Those of the terminal, if it is one, as far as lines are easily read.
std::size_t columns_of(int descriptor) {
  constexpr std::size_t most = 100;
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return most;
  return std::min<std::size_t>(size.ws_col, most);
}

// "9.7 (8.1 to 12)"
std::string with_interval(const sizing::estimate& e) {
  if (!std::isfinite(e.low) || !std::isfinite(e.high)) return fmt::format("{:.3g}", e.value);
  return fmt::format("{:.3g} ({:.3g} to {:.3g})", e.value, e.low, e.high);
}

}  // namespace

void write_all(int descriptor, std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw run_error(fmt::format("cannot write {}: {}", name, std::strerror(errno)));
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string human(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.3g} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  return fmt::format("{:.3g} s", seconds);
}

profile_files::profile_files(const profile_options& options)
    : options_(options),
      csv_(open_output(options.csv)),
      json_(open_output(options.json)),
      svg_(open_output(options.svg)) {}

void profile_files::write(const sizing::profile_report& report, const plot_names& names) {
  const int people = options_.stdout_is_taken() ? STDERR_FILENO : STDOUT_FILENO;
  write(sizing::to_text(report, columns_of(people)),
        options_.json.empty() ? "" : sizing::to_json(report));
  if (!options_.csv.empty()) write_output(csv_, options_.csv, sizing::to_csv(report));
  if (!options_.svg.empty()) write_output(svg_, options_.svg, to_svg(make_plot(report, names)));
}

void profile_files::write(std::string_view text, std::string_view json) {
  const bool aside = options_.stdout_is_taken();
  write_all(aside ? STDERR_FILENO : STDOUT_FILENO, text,
            aside ? "standard error" : "standard output");
  if (!options_.json.empty()) write_output(json_, options_.json, json);
}

plot make_plot(const sizing::profile_report& report, const plot_names& names) {
  plot p;
  double highest = 0;
  for (const auto& s : report.sizes) highest = std::max(highest, s.throughput.value);
  const time_unit unit = unit_for(highest);

  p.title = report.workload;
  p.size_axis = names.workers + " at once";
  p.value_axis = unit.name;
  int runs = 0;
  for (const auto& s : report.sizes) {
    runs += s.repetitions;
    plot::point point{static_cast<double>(s.size), s.throughput.value * unit.seconds, 0, 0};
    const bool known = std::isfinite(s.throughput.low) && std::isfinite(s.throughput.high);
    point.low = known ? std::max(s.throughput.low, 0.0) * unit.seconds : point.value;
    point.high = known ? s.throughput.high * unit.seconds : point.value;
    p.points.push_back(point);
  }
  p.subtitle =
      fmt::format("{:.3g} usable {}, {} runs{}", report.cores, report.cores == 1 ? "core" : "cores",
                  runs, report.complete ? "" : ", not complete");
  p.point_name = "measured, with 95 % interval";

  const auto mark_size = [&](int size, const std::string& label) -> std::optional<plot::mark> {
    const auto at = std::find_if(report.sizes.begin(), report.sizes.end(),
                                 [size](const auto& s) { return s.size == size; });
    if (at == report.sizes.end()) return std::nullopt;
    return plot::mark{static_cast<double>(size), at->throughput.value * unit.seconds, label};
  };
  const sizing::scaling_fit& fit = report.universal.fitted ? report.universal : report.amdahl;
  // A curve that goes elsewhere than the points has no say in where they are highest.
  const bool fits = fit.fitted && !(fit.misses && fit.largest_deviation > 0.1);
  if (fit.fitted) {
    p.curve = [fit, unit](double size) { return fit.throughput(size) * unit.seconds; };
    p.curve_name = fmt::format(
        "{}, R² {:.3f}",
        fit.law == sizing::scaling_law::amdahl ? "Amdahl's law" : "Universal Scalability Law",
        fit.r_squared);
    if (!fits) p.curve_name += fmt::format(", off by up to {:.0f} %", fit.largest_deviation * 100);
  }
  if (fits) {
    const double largest = report.sizes.back().size;
    // A peak far beyond what was measured is a guess.
    if (std::isfinite(fit.peak.value) && fit.peak.value <= 1.5 * largest) {
      p.peak = plot::mark{fit.peak.value, fit.throughput(fit.peak.value) * unit.seconds,
                          "peak of the curve: " + with_interval(fit.peak)};
    }
  } else if (report.recommended && report.recommended->best != report.recommended->size) {
    const int best = report.recommended->best;
    p.peak = mark_size(best, fmt::format("highest measured: {}", best));
  }
  if (report.recommended) {
    const int size = report.recommended->size;
    p.recommended = mark_size(size, fmt::format("recommended: {}", size));
  }
  for (const auto& rival : report.rivals) {
    if (rival.name != names.adaptive || !rival.throughput) continue;
    p.adaptive = plot::mark{static_cast<double>(rival.size), *rival.throughput * unit.seconds,
                            fmt::format("{}: {}", rival.name, rival.size)};
  }
  return p;
}

}  // namespace heddle::tool
