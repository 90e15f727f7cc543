#include "start_failure.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "text.hpp"

namespace heddle::tool {

bool is_refusal(int error) noexcept {
  return error == EAGAIN || error == EMFILE || error == ENFILE || error == ENOMEM;
}

std::string why_not_run(const std::string& program, int error) {
  const bool is_path = program.find('/') != std::string::npos;
  if (error == ENOENT && !is_path) return fmt::format("command not found: {}", shortened(program));
  const bool there = error == ENOENT && ::access(program.c_str(), F_OK) == 0;
  return fmt::format("cannot run {}: {}", shortened(program),
                     there ? "its interpreter is missing" : std::strerror(error));
}

}  // namespace heddle::tool
