#include "map.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "failure.hpp"
#include "map_options.hpp"
#include "map_run.hpp"

namespace heddle::tool {
namespace {

// A standard descriptor that is closed must not become some pipe of ours by accident. What takes
// its place refuses what the descriptor is for, so that using it is still an error.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    const int flags = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    [[maybe_unused]] const int opened = ::open("/dev/null", flags);
  }
}

int print_help() {
  const std::string page = map_help();
  const bool written = std::fwrite(page.data(), 1, page.size(), stdout) == page.size();
  if (written && std::fflush(stdout) == 0) return 0;
  throw run_error(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

// Without a standard error to say it on, the exit status has to do.
void complain(const char* what) {
  std::fputs(fmt::format("heddle map: {}\n", what).c_str(), stderr);
}

}  // namespace

int run_map(int argc, char** argv) {
  occupy_standard_descriptors();
  try {
    const map_options options = parse_map_options(std::vector<std::string>(argv + 1, argv + argc));
    if (options.help) return print_help();
    const bool types_inputs = options.input_files.empty() && options.argument_lists.empty() &&
                              ::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
    if (types_inputs) complain("reading inputs from the terminal, one a line; Ctrl-D ends them");
    return map_run(options).run();
  } catch (const usage_error& e) {
    complain(e.what());
    return exit_usage;
  } catch (const std::exception& e) {
    complain(e.what());
    return exit_trouble;
  }
}

}  // namespace heddle::tool
