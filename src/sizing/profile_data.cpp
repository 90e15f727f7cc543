// A profile for programs: CSV and JSON.

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include <heddle/sizing/profile_report.hpp>

#include "base/json_writer.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using heddle::detail::json_writer;

// Enough digits for what was measured, with a point whatever the locale; nothing for what is not a
// number.
std::string digits(double value) {
  if (!std::isfinite(value)) return {};
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 9);
  return {text, end.ptr};
}
std::string digits(std::optional<double> value) { return value ? digits(*value) : ""; }

void write(json_writer& json, const char* name, std::optional<double> v) {
  json.key(name).value(v.value_or(std::numeric_limits<double>::quiet_NaN()));  // which is null
}

void write(json_writer& json, const char* name, const estimate& e) {
  json.open(name, '{').field("value", e.value).field("low", e.low);
  json.field("high", e.high).close('}');
}

void write(json_writer& json, const size_summary& s) {
  json.open('{').field("size", s.size).field("repetitions", s.repetitions).field("tasks", s.tasks);
  json.field("elapsed_seconds", s.elapsed);
  write(json, "tasks_per_second", s.throughput);
  write(json, "seconds_per_task", s.residence);
  write(json, "cpu_seconds_per_task", s.cpu);
  write(json, "runnable_seconds_per_task", s.runnable);
  write(json, "voluntary_switches_per_task", s.switches);
  write(json, "busy_workers", s.busy());
  write(json, "cpus", s.cpus());
  json.close('}');
}

void write(json_writer& json, const char* name, const scaling_fit& fit) {
  json.open(name, '{').field("law", to_string(fit.law)).field("fitted", fit.fitted);
  if (fit.fitted) {
    write(json, "lambda", fit.lambda);
    write(json, "sigma", fit.sigma);
    write(json, "kappa", fit.kappa);
    write(json, "peak", fit.peak);
    json.field("r_squared", fit.r_squared).field("largest_deviation", fit.largest_deviation);
    json.field("deviates_at", fit.deviates_at).field("misses", fit.misses);
  }
  json.field("remark", fit.remark).close('}');
}

}  // namespace

std::string to_csv(const profile_report& report) {
  std::string text =
      "size,repetitions,tasks,elapsed_seconds,tasks_per_second,tasks_per_second_low,"
      "tasks_per_second_high,seconds_per_task,cpu_seconds_per_task,runnable_seconds_per_task,"
      "voluntary_switches_per_task,"
      "busy_workers,cpus,recommended\n";
  for (const size_summary& s : report.sizes) {
    const bool chosen = report.recommended && report.recommended->size == s.size;
    text += std::to_string(s.size) + ',' + std::to_string(s.repetitions) + ',' +
            std::to_string(s.tasks);
    for (const std::string& field :
         {digits(s.elapsed), digits(s.throughput.value), digits(s.throughput.low),
          digits(s.throughput.high), digits(s.residence), digits(s.cpu), digits(s.runnable),
          digits(s.switches), digits(s.busy()), digits(s.cpus())}) {
      text += ',';
      text += field;
    }
    text += chosen ? ",1\n" : ",0\n";
  }
  return text;
}

std::string to_json(const profile_report& report) {
  json_writer json;
  json.open('{').field("workload", report.workload);
  json.field("cores", report.cores).field("physical_cores", report.physical_cores);
  json.field("complete", report.complete).open("sizes", '[');
  for (const size_summary& s : report.sizes) write(json, s);
  json.close(']');
  write(json, "amdahl", report.amdahl);
  write(json, "universal_scalability", report.universal);
  if (report.residence) write(json, "residence_time", *report.residence);
  json.open("little", '[');
  for (const little_check& l : report.little) {
    json.open('{').field("size", l.size).field("in_progress", l.in_progress);
    json.field("holds", l.holds).field("meaning", l.meaning).close('}');
  }
  json.close(']');
  write(json, "saturation_size", report.saturation);
  json.key("recommended");
  if (report.recommended) {
    const recommendation& r = *report.recommended;
    json.open('{').field("size", r.size).field("best", r.best);
    json.field("limit", to_string(r.why)).field("reason", r.reason).close('}');
  } else {
    json.null();
  }
  json.open("rivals", '[');
  for (const rival_size& r : report.rivals) {
    json.open('{').field("name", r.name).field("size", r.size);
    json.field("reason", r.reason);
    write(json, "tasks_per_second", r.throughput);
    json.close('}');
  }
  json.close(']').open("remarks", '[');
  for (const std::string& remark : report.remarks) json.value(remark);
  json.close(']').close('}');
  return std::move(json).take() + '\n';
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
