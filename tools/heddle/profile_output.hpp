// Where the findings of a profile go.
#pragma once

#include <string>
#include <string_view>

#include <heddle/process/descriptor.hpp>
#include <heddle/sizing/profile_report.hpp>

#include "profile_options.hpp"
#include "profile_plot.hpp"

namespace heddle::tool {

// How to call what a picture shows.
struct plot_names {
  std::string workers;   // what a size counts: "threads"
  std::string adaptive;  // the rival that was let run: "adaptive pool"
};

// Writes all of it, to a file or what else it may be. Throws run_error, which tells the `name`.
void write_all(int descriptor, std::string_view text, const std::string& name);

// "226 us", "7.36 ms", "3 s".
std::string human(double seconds);

// The files that were asked for, opened before anything is measured: what cannot be written is
// known then, and not minutes later.
class profile_files {
 public:
  // Throws run_error.
  explicit profile_files(const profile_options& options);

  // Prints the report and writes the files. Throws run_error.
  void write(const sizing::profile_report& report, const plot_names& names);
  // The same of findings that have no other form than these.
  void write(std::string_view text, std::string_view json);

 private:
  const profile_options& options_;
  process::unique_descriptor csv_;
  process::unique_descriptor json_;
  process::unique_descriptor svg_;
};

// The picture of a report.
plot make_plot(const sizing::profile_report& report, const plot_names& names);

}  // namespace heddle::tool
