// Starts processes for one event loop.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/process/descriptor.hpp>

namespace heddle::inline HEDDLE_ABI::process {

struct command;

struct launched {
  pid_t pid = -1;
  unique_descriptor pidfd;
};

// Keeps what starts have in common: the stack children begin on, /dev/null, and where programs
// were found. One thread.
class launcher {
 public:
  launcher() noexcept = default;
  ~launcher();
  launcher(const launcher&) = delete;
  launcher& operator=(const launcher&) = delete;

  // Starts the command; the contract is that of child's constructor.
  launched start(const command& what);

 private:
  // The files that a name may stand for, one per directory of PATH, and the one that was last
  // executed with success.
  struct candidates {
    std::vector<std::string> paths;
    std::vector<const char*> pointers;
    std::size_t hint = no_hint;
  };
  static constexpr std::size_t no_hint = static_cast<std::size_t>(-1);

  candidates& look_up(const std::string& program);
  void prepare();

  void* stack_ = nullptr;
  unique_descriptor null_;
  std::string search_path_;
  std::unordered_map<std::string, candidates> programs_;
};

// Waits until the process has ended and forgets it; errors are ignored.
void reap_blocking(int pidfd) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::process
