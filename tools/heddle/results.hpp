// A folder that keeps what every job printed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <heddle/process/descriptor.hpp>

#include "job_slot.hpp"

namespace heddle::tool {

// DIR/SEQ/stdout and DIR/SEQ/stderr hold what job SEQ wrote, without tags; DIR/SEQ/seq holds the
// number and, in a second line, the command. A further attempt of a job replaces all three.
// Everything throws run_error when the disk does not do as told, and open() std::system_error when
// there are no descriptors left.
class results_folder {
 public:
  explicit results_folder(std::string path);

  using files = std::array<process::unique_descriptor, streams>;
  files open(std::uint64_t sequence, std::string_view command) const;
  void write(std::uint64_t sequence, stream which, const files& to, std::string_view bytes) const;
  // Some file systems tell only now that the disk is full.
  void close(std::uint64_t sequence, files& opened) const;

 private:
  std::string path_;
};

}  // namespace heddle::tool
