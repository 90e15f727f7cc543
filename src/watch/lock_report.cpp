#include <heddle/watch/lock_report.hpp>

#include <dlfcn.h>

#include <cxxabi.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/json_writer.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace {

using detail::json_writer;

std::string hexadecimal(std::uintptr_t n) {
  char digits[2 + 2 * sizeof n + 1];
  std::snprintf(digits, sizeof digits, "0x%jx", static_cast<std::uintmax_t>(n));
  return digits;
}

// Without its arguments: a line has many columns already.
std::string readable(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  const std::string name = status == 0 ? demangled.get() : symbol;
  return name.substr(0, name.find('('));
}

std::string place(const void* address) {
  if (address == nullptr) return "";
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  Dl_info found{};
  if (dladdr(address, &found) == 0) return hexadecimal(at);
  if (found.dli_sname != nullptr) {
    return readable(found.dli_sname) + "+" +
           hexadecimal(at - reinterpret_cast<std::uintptr_t>(found.dli_saddr));
  }
  const std::string_view file = found.dli_fname;
  return std::string(file.substr(file.rfind('/') + 1)) + "+" +
         hexadecimal(at - reinterpret_cast<std::uintptr_t>(found.dli_fbase));
}

// "a mutex": without the article.
std::string_view kind_of(const lock_statistics& s) {
  const std::string_view description = describe(s.kind);
  return description.substr(description.find(' ') + 1);
}

std::string name_of(const lock_statistics& s) {
  const std::string name =
      s.name.empty() ? hexadecimal(reinterpret_cast<std::uintptr_t>(s.object)) : s.name;
  return s.object == nullptr ? name + " (ended)" : name;
}

// Three digits that count, and a unit.
std::string text(std::chrono::nanoseconds time) {
  struct unit {
    double ns;
    const char* name;
  };
  constexpr std::array<unit, 4> units{{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}};
  const auto ns = static_cast<double>(time.count());
  if (ns == 0) return "0";
  const auto* fits =
      std::find_if(units.begin(), units.end() - 1, [ns](const unit& u) { return ns >= u.ns; });
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.3g %s", ns / fits->ns, fits->name);
  return digits;
}
std::string rounded(double value, const char* format) {
  char digits[64];
  std::snprintf(digits, sizeof digits, format, value);
  return digits;
}

constexpr std::size_t columns = 13;
using row = std::array<std::string, columns>;

row row_of(const lock_statistics& s) {
  return {name_of(s),
          std::string(kind_of(s)),
          std::to_string(s.acquisitions),
          rounded(100 * s.contended_share(), "%.2f%%"),
          std::to_string(s.given_up),
          text(s.wait.total()),
          text(s.wait.quantile(0.99)),
          text(s.wait.longest()),
          text(s.mean_critical_section()),
          text(s.hold.longest()),
          rounded(100 * s.contention_ratio(), "%.1f%%"),
          rounded(s.acquisitions_per_second(), "%.0f"),
          place(s.longest_hold_site)};
}

void write(json_writer& json, std::string_view name, const time_distribution& d) {
  json.open(name, '{').field("count", d.count()).field("total", d.total());
  json.field("mean", d.mean()).field("p50", d.quantile(0.5)).field("p99", d.quantile(0.99));
  json.field("max", d.longest()).close('}');
}

}  // namespace

std::string lock_report::to_text(std::size_t rows) const {
  std::vector<row> table{{"name", "kind", "acquired", "contended", "given up", "waited", "p99",
                          "longest", "mean hold", "longest", "wait/all", "per s",
                          "held longest by"}};
  std::size_t recorded = 0;
  for (const lock_statistics& s : locks) {
    if (s.acquisitions == 0 && s.given_up == 0) continue;
    if (++recorded <= rows) table.push_back(row_of(s));
  }
  std::array<std::size_t, columns> widths{};
  for (const row& r : table) {
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], r[i].size());
  }
  std::string page;
  for (const row& r : table) {
    std::string line;
    for (std::size_t i = 0; i < columns; ++i) {
      const std::string padding(widths[i] - r[i].size(), ' ');
      const bool is_text = i < 2 || i + 1 == columns;
      line += (is_text ? r[i] + padding : padding + r[i]) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    page += line + "\n";
  }
  if (recorded > rows) page += "and " + std::to_string(recorded - rows) + " more\n";
  if (recorded < locks.size()) {
    page += std::to_string(locks.size() - recorded) + " named, but nothing was recorded of them\n";
  }
  return page;
}

std::string lock_report::to_json() const {
  json_writer json;
  json.open('{').open("locks", '[');
  for (const lock_statistics& s : locks) {
    json.open('{').field("name", std::string_view(s.name)).field("kind", kind_of(s));
    json.field("ended", s.object == nullptr).field("acquisitions", s.acquisitions);
    json.field("contended", s.contended).field("contended_share", s.contended_share());
    json.field("given_up", s.given_up).field("long_waits", s.long_waits);
    json.field("contention_ratio", s.contention_ratio());
    json.field("acquisitions_per_second", s.acquisitions_per_second());
    json.field("recorded_for", s.recorded_for).field("total_hold", s.total_hold());
    write(json, "wait", s.wait);
    write(json, "hold", s.hold);
    json.field("longest_hold_site", std::string_view(place(s.longest_hold_site))).close('}');
  }
  json.close(']').close('}');
  return std::move(json).take();
}

}  // namespace heddle::inline HEDDLE_ABI
