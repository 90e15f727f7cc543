// A profile for people.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <heddle/sizing/profile_report.hpp>

#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using detail::duration;
using detail::number;
using detail::percent;

constexpr const char* unknown = "-";

// Whole numbers from 1000 on, else four digits.
std::string rate(double per_second) {
  if (per_second < 1000 || per_second >= 1e15) return number(per_second);
  char text[40];
  std::snprintf(text, sizeof text, "%.0f", per_second);
  return text;
}

std::string time_of(std::optional<double> seconds) {
  return seconds ? duration(*seconds) : unknown;
}
std::string number_of(std::optional<double> value) { return value ? number(*value, 3) : unknown; }

std::string doubt(const estimate& e) {
  return std::isfinite(e.high) ? percent(e.relative_half_width()) : unknown;
}

// "0.031 (0.02 to 0.04)"
std::string with_interval(const estimate& e, std::string (*text)(double)) {
  const auto bound = [&](double b) { return std::isfinite(b) ? text(b) : std::string("no limit"); };
  return bound(e.value) + " (" + bound(e.low) + " to " + bound(e.high) + ")";
}
std::string short_number(double value) { return number(value, 3); }

using row = std::vector<std::string>;

// Columns flush right.
std::string table(const std::vector<row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const row& r : rows)
    for (std::size_t i = 0; i < r.size(); ++i) widths[i] = std::max(widths[i], r[i].size());
  std::string text;
  for (const row& r : rows) {
    for (std::size_t i = 0; i < r.size(); ++i) {
      text.append((i == 0 ? 0 : 2) + widths[i] - r[i].size(), ' ');
      text += r[i];
    }
    text += '\n';
  }
  return text;
}

std::string sizes_table(const profile_report& report) {
  std::vector<row> rows{{"size", "runs", "tasks/s", "+-", "speed-up", "efficiency", "time/task",
                         "on CPU", "asleep", "switches", "CPUs"}};
  const size_summary& first = report.sizes.front();
  for (const size_summary& s : report.sizes) {
    const double speed_up = s.throughput.value / first.throughput.value;
    rows.push_back({number(s.size), number(s.repetitions), rate(s.throughput.value),
                    doubt(s.throughput), number(speed_up, 3),
                    percent(speed_up * first.size / s.size), time_of(s.residence), time_of(s.cpu),
                    time_of(s.asleep()), number_of(s.switches), number_of(s.cpus())});
  }
  return table(rows);
}

std::string law_text(const scaling_fit& fit) {
  std::string text = std::string(to_string(fit.law)) + ": ";
  if (!fit.fitted) return text + fit.remark + "\n";
  text += "sigma " + with_interval(fit.sigma, short_number);
  if (fit.law == scaling_law::universal_scalability) {
    text += ", kappa " + with_interval(fit.kappa, short_number) + ", peak at size ";
    text += std::isfinite(fit.peak.value) ? with_interval(fit.peak, short_number)
                                          : std::string("without limit");
  }
  text += ", lambda " + with_interval(fit.lambda, rate) + " /s";
  text += ", R2 " + number(fit.r_squared, 3) + "\n";
  if (!fit.remark.empty()) text += "  " + fit.remark + "\n";
  return text;
}

// Where Little's law tells most, and at which other sizes the same.
std::string little_text(const profile_report& report) {
  if (report.little.empty()) return {};
  std::string text;
  for (const bool idle : {true, false}) {
    const little_check* worst = nullptr;
    std::string others;
    const auto deviation = [](const little_check& l) {
      return std::abs(l.in_progress / l.size - 1);
    };
    const auto concerns = [&](const little_check& l) {
      return !l.holds && idle == (l.in_progress < l.size);
    };
    for (const little_check& l : report.little)
      if (concerns(l) && (worst == nullptr || deviation(l) > deviation(*worst))) worst = &l;
    if (worst == nullptr) continue;
    for (const little_check& l : report.little)
      if (concerns(l) && &l != worst) others += (others.empty() ? "" : ", ") + number(l.size);
    text += "Little's law at size " + number(worst->size) + ": " + worst->meaning;
    text += others.empty() ? "\n" : " (likewise at " + others + ")\n";
  }
  if (text.empty()) text = "Little's law: all workers are busy at every size\n";
  if (report.saturation)
    text += "The highest throughput keeps " + number(*report.saturation, 3) +
            " tasks in progress, if each takes the shortest time seen\n";
  return text;
}

std::string rivals_text(const profile_report& report) {
  std::string text = "Other rules would choose:\n";
  std::size_t widest = 0;
  for (const rival_size& r : report.rivals) widest = std::max(widest, r.name.size());
  for (const rival_size& r : report.rivals) {
    text += "  " + r.name + std::string(widest - r.name.size(), ' ') + "  " + number(r.size);
    if (r.throughput) text += " (" + rate(*r.throughput) + " tasks/s)";
    if (!r.reason.empty()) text += ": " + r.reason;
    text += "\n";
  }
  return text;
}

}  // namespace

std::string to_text(const profile_report& report) {
  std::string text = "Profile";
  if (!report.workload.empty()) text += " of " + report.workload;
  text += " on " + detail::count(report.cores, "usable core") + "\n\n";
  if (!report.sizes.empty()) {
    text += sizes_table(report) + "\n";
    text += law_text(report.amdahl);
    text += law_text(report.universal);
    text += little_text(report) + "\n";
  }
  if (report.recommended)
    text += "Recommended size: " + number(report.recommended->size) + "\n  " +
            report.recommended->reason + "\n";
  if (!report.rivals.empty()) text += rivals_text(report);
  for (const std::string& remark : report.remarks) text += "Note: " + remark + "\n";
  return text;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
