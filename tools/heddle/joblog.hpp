// A file with a line for each finished job, in the columns of GNU parallel.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include <heddle/process/descriptor.hpp>

#include "sequence_set.hpp"

namespace heddle::tool {

struct joblog_entry {
  std::uint64_t sequence = 0;
  std::chrono::system_clock::time_point started{};
  std::chrono::nanoseconds runtime{};
  std::uint64_t received = 0;  // bytes of standard output
  int exit_value = 0;          // -1 for a job that was stopped because it took too long
  int signal = 0;
  std::span<const std::string> command{};  // argument vector, or the one script when `shell`
  bool shell = false;
};

// What an existing log says.
struct joblog_contents {
  sequence_set done;
  std::uint64_t unreadable_lines = 0;
  bool empty = true;         // not even a header
  bool ends_in_line = true;  // false when the last line is torn: cut off before its newline
};

// A log that does not exist is empty. A torn line counts as not written; of several lines about the
// same job the last one counts. With `only_successful`, failed jobs are not done.
// Throws run_error when the log cannot be read.
joblog_contents read_joblog(const std::string& path, bool only_successful);

class joblog {
 public:
  // Begins a new log, or continues the one that was read: a torn last line is ended first, so that
  // the next one stands alone. With `sync` each line is on disk before add returns.
  // All throw run_error when the log cannot be written.
  joblog(std::string path, const joblog_contents* continued, bool sync);

  // Appends the line with a single write, so that programs that follow the log see whole lines.
  void add(const joblog_entry& entry);

 private:
  void write_line();

  std::string path_;
  process::unique_descriptor file_;
  bool sync_;
  std::string line_;
};

}  // namespace heddle::tool
