#include "profile.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "failure.hpp"
#include "profile_compare.hpp"
#include "profile_kernels.hpp"
#include "profile_options.hpp"
#include "profile_output.hpp"
#include "profile_run.hpp"
#include "profile_waiters.hpp"

namespace heddle::tool {
namespace {

int run(const profile_options& options) {
  if (options.help) {
    write_all(STDOUT_FILENO, profile_help(), "standard output");
    return 0;
  }
  if (options.once) {
    builtin_task task(*options.kernel, options.steps);
    task();
    return 0;
  }
  if (options.waiters) {
    write_all(STDOUT_FILENO, to_json(run_waiters(*options.waiters, usual_waiters)),
              "standard output");
    return 0;
  }
  return options.compare ? compare_ways(options) : profile_workload(options);
}

int complain(int status, const char* what) {
  std::fputs(fmt::format("heddle profile: {}\n", what).c_str(), stderr);
  return status;
}

}  // namespace

int run_profile(int argc, char** argv) {
  try {
    return run(parse_profile_options(std::vector<std::string>(argv + 1, argv + argc)));
  } catch (const usage_error& e) {
    return complain(exit_usage, e.what());
  } catch (const std::exception& e) {
    return complain(exit_trouble, e.what());
  }
}

}  // namespace heddle::tool
