// A profile for programs: CSV and JSON.

#include <cmath>
#include <cstdio>

#include <heddle/sizing/profile_report.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

// Enough digits for what was measured; nothing for what is not a number.
std::string digits(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return std::isfinite(value) ? text : "";
}
std::string digits(std::optional<double> value) { return value ? digits(*value) : ""; }

// Builds JSON text: objects and arrays are opened and closed by the caller, commas come by
// themselves.
class json_writer {
 public:
  json_writer& open(char bracket) {
    separate();
    text_ += bracket;
    first_ = true;
    return *this;
  }
  json_writer& close(char bracket) {
    text_ += bracket;
    first_ = false;
    return *this;
  }
  json_writer& key(const char* name) {
    separate();
    quote(name);
    text_ += ':';
    first_ = true;
    return *this;
  }
  void value(double v) { raw(std::isfinite(v) ? digits(v) : "null"); }
  void value(std::optional<double> v) { v ? value(*v) : raw("null"); }
  void value(int v) { raw(std::to_string(v)); }
  void value(std::uint64_t v) { raw(std::to_string(v)); }
  void value(bool v) { raw(v ? "true" : "false"); }
  void value(std::string_view v) {
    separate();
    quote(v);
  }
  template <class T>
  json_writer& field(const char* name, const T& v) {
    key(name).value(v);
    return *this;
  }
  std::string take() && { return std::move(text_); }

 private:
  void separate() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  void raw(const std::string& v) {
    separate();
    text_ += v;
  }
  void quote(std::string_view v) {
    text_ += '"';
    for (const char c : v) {
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
        text_ += escaped;
      } else {
        text_ += c;
      }
    }
    text_ += '"';
  }

  std::string text_;
  bool first_ = true;
};

void write(json_writer& json, const char* name, const estimate& e) {
  json.key(name).open('{');
  json.field("value", e.value).field("low", e.low).field("high", e.high).close('}');
}

void write(json_writer& json, const size_summary& s) {
  json.open('{').field("size", s.size).field("repetitions", s.repetitions).field("tasks", s.tasks);
  json.field("elapsed_seconds", s.elapsed);
  write(json, "tasks_per_second", s.throughput);
  json.field("seconds_per_task", s.residence).field("cpu_seconds_per_task", s.cpu);
  json.field("runnable_seconds_per_task", s.runnable);
  json.field("voluntary_switches_per_task", s.switches);
  json.field("busy_workers", s.busy()).field("cpus", s.cpus()).close('}');
}

void write(json_writer& json, const char* name, const scaling_fit& fit) {
  json.key(name).open('{').field("law", to_string(fit.law)).field("fitted", fit.fitted);
  if (fit.fitted) {
    write(json, "lambda", fit.lambda);
    write(json, "sigma", fit.sigma);
    write(json, "kappa", fit.kappa);
    write(json, "peak", fit.peak);
    json.field("r_squared", fit.r_squared).field("largest_deviation", fit.largest_deviation);
    json.field("deviates_at", fit.deviates_at).field("misses", fit.misses);
  }
  json.field("remark", std::string_view(fit.remark)).close('}');
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
  json.open('{').field("workload", std::string_view(report.workload));
  json.field("cores", report.cores).field("physical_cores", report.physical_cores);
  json.field("complete", report.complete).key("sizes").open('[');
  for (const size_summary& s : report.sizes) write(json, s);
  json.close(']');
  write(json, "amdahl", report.amdahl);
  write(json, "universal_scalability", report.universal);
  if (report.residence) write(json, "residence_time", *report.residence);
  json.key("little").open('[');
  for (const little_check& l : report.little) {
    json.open('{').field("size", l.size).field("in_progress", l.in_progress);
    json.field("holds", l.holds).field("meaning", std::string_view(l.meaning)).close('}');
  }
  json.close(']').field("saturation_size", report.saturation).key("recommended");
  if (report.recommended) {
    const recommendation& r = *report.recommended;
    json.open('{').field("size", r.size).field("best", r.best);
    json.field("limit", to_string(r.why)).field("reason", std::string_view(r.reason)).close('}');
  } else {
    json.value(std::optional<double>());
  }
  json.key("rivals").open('[');
  for (const rival_size& r : report.rivals) {
    json.open('{').field("name", std::string_view(r.name)).field("size", r.size);
    json.field("reason", std::string_view(r.reason));
    json.field("tasks_per_second", r.throughput).close('}');
  }
  json.close(']').key("remarks").open('[');
  for (const std::string& remark : report.remarks) json.value(std::string_view(remark));
  json.close(']').close('}');
  return std::move(json).take() + '\n';
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
