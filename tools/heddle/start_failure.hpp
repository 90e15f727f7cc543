// Why a process could not be started.
#pragma once

#include <string>

namespace heddle::tool {

// Descriptors, processes or memory have run out; it may work when others have ended.
bool is_refusal(int error) noexcept;

// "command not found: x", or why a file that is there does not run.
std::string why_not_run(const std::string& program, int error);

}  // namespace heddle::tool
