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

// The text in lines of so many columns, as far as its words allow; the first one begins with
// `before`, the others are indented by as much as `under` says.
std::string lines(const std::string& before, const std::string& text, std::size_t under,
                  std::size_t columns) {
  std::string all = before;
  std::size_t column = before.size();
  bool first = true;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t space = std::min(text.find(' ', begin), text.size());
    if (!first && column + 1 + (space - begin) > columns) {
      all += '\n' + std::string(under, ' ');
      column = under;
    } else if (!first) {
      all += ' ';
      ++column;
    }
    all.append(text, begin, space - begin);
    column += space - begin;
    first = false;
    begin = space + 1;
  }
  return all + '\n';
}

using row = std::vector<std::string>;

std::size_t width(const std::vector<row>& rows, std::size_t column) {
  std::size_t widest = 0;
  for (const row& r : rows) widest = std::max(widest, r[column].size());
  return widest;
}

// Takes columns away until the rest, two apart, is narrow enough: those that are least missed.
void narrow(std::vector<row>& rows, std::size_t columns) {
  for (const char* dispensable :
       {"runs", "efficiency", "speed-up", "switches", "asleep", "on CPU"}) {
    std::size_t total = 0;
    for (std::size_t i = 0; i < rows.front().size(); ++i) total += width(rows, i) + (i > 0 ? 2 : 0);
    if (total <= columns) return;
    const auto found = std::find(rows.front().begin(), rows.front().end(), dispensable);
    const auto at = found - rows.front().begin();
    for (row& r : rows) r.erase(r.begin() + at);
  }
}

// Columns flush right.
std::string table(const std::vector<row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = width(rows, i);
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

std::string sizes_table(const profile_report& report, std::size_t columns) {
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
  narrow(rows, columns);
  return table(rows);
}

// A law of as many parameters as there are sizes explains all, whatever it is.
bool explains(const profile_report& report, const scaling_fit& fit) {
  return report.sizes.size() > (fit.law == scaling_law::amdahl ? 2u : 3u);
}

std::string law_text(const profile_report& report, const scaling_fit& fit, std::size_t columns) {
  std::string text = std::string(to_string(fit.law)) + ": ";
  if (!fit.fitted) return lines({}, text + fit.remark, 2, columns);
  text += "sigma " + with_interval(fit.sigma, short_number);
  if (fit.law == scaling_law::universal_scalability) {
    text += ", kappa " + with_interval(fit.kappa, short_number) + ", peak at size ";
    text += std::isfinite(fit.peak.value) ? with_interval(fit.peak, short_number)
                                          : std::string("without limit");
  }
  text += ", lambda " + with_interval(fit.lambda, rate) + " /s";
  if (explains(report, fit)) text += ", R2 " + number(fit.r_squared, 3);
  return lines({}, text, 2, columns) +
         (fit.remark.empty() ? "" : lines("  ", fit.remark, 2, columns));
}

// Where Little's law tells most, and at which other sizes the same.
std::string little_text(const profile_report& report, std::size_t columns) {
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
    text += lines({},
                  "Little's law at size " + number(worst->size) + ": " + worst->meaning +
                      (others.empty() ? "" : " (likewise at " + others + ")"),
                  2, columns);
  }
  if (text.empty())
    text = lines({}, "Little's law: all workers are busy at every size", 2, columns);
  if (report.saturation) {
    const std::string tasks = number(*report.saturation, 3);
    text += lines({},
                  "The highest throughput keeps " + tasks + (tasks == "1" ? " task" : " tasks") +
                      " in progress, if each takes the shortest time seen",
                  2, columns);
  }
  return text;
}

std::string rivals_text(const profile_report& report, std::size_t columns) {
  std::string text = "Other rules would choose:\n";
  std::size_t widest = 0;
  for (const rival_size& r : report.rivals) widest = std::max(widest, r.name.size());
  for (const rival_size& r : report.rivals) {
    std::string choice = number(r.size);
    if (r.throughput) choice += " (" + rate(*r.throughput) + " tasks/s)";
    if (!r.reason.empty()) choice += ": " + r.reason;
    text += lines("  " + r.name + std::string(widest - r.name.size() + 2, ' '), choice, widest + 4,
                  columns);
  }
  return text;
}

}  // namespace

std::string to_text(const profile_report& report, std::size_t columns) {
  constexpr std::size_t fewest = 40;
  columns = std::max(columns, fewest);
  const std::string workload = report.workload.empty() ? "" : " of " + report.workload;
  std::string text = lines(
      {}, "Profile" + workload + " on " + detail::count(report.cores, "usable core"), 2, columns);
  text += '\n';
  if (!report.sizes.empty()) {
    text += sizes_table(report, columns) + "\n";
    text += law_text(report, report.amdahl, columns);
    text += law_text(report, report.universal, columns);
    text += little_text(report, columns) + "\n";
  }
  if (report.recommended)
    text += "Recommended size: " + number(report.recommended->size) + "\n" +
            lines("  ", report.recommended->reason, 2, columns);
  if (!report.rivals.empty()) text += rivals_text(report, columns);
  for (const std::string& remark : report.remarks) text += lines({}, "Note: " + remark, 2, columns);
  return text;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
