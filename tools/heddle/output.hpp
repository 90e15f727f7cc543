// The order in which outputs are printed, and the tags before their lines.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "job_slot.hpp"
#include "sink.hpp"
#include "spool.hpp"

namespace heddle::tool {

using spool_pair = std::array<spool, streams>;

// Puts outputs that are complete into the order of the sequence numbers.
//
// Outputs that follow each other are joined as soon as they are there, so what waits is one run of
// outputs for each gap, and a gap is a job that is running or waiting to be tried again: however
// many outputs wait behind a slow job, they take a few entries, memory up to the store's budget,
// and one file.
class ordered_output {
 public:
  ordered_output(sink& out, sink& err) noexcept : sinks_{&out, &err} {}

  // The job that is to be printed next.
  std::uint64_t head() const noexcept { return head_; }
  // The job's output is complete. Throws run_error when it cannot be written or kept.
  void finish(std::uint64_t sequence, spool_pair& output);
  // Prints all that waits, though there are gaps.
  void flush();

 private:
  struct run {
    std::uint64_t last;
    spool_pair output;
  };

  void print(spool_pair& output);
  void print_ready();

  std::array<sink*, streams> sinks_;
  std::uint64_t head_ = 1;
  std::map<std::uint64_t, run> waiting_;  // by the first sequence number
};

// Appends `bytes` to `to` with `tag` at the beginning of each line. `at_line_start` remembers where
// the last call ended.
void append_tagged(std::string& to, std::string_view bytes, std::string_view tag,
                   bool& at_line_start);

}  // namespace heddle::tool
