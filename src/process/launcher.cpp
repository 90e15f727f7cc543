#include "launcher.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <heddle/process/child.hpp>

#include "launch_plan.hpp"

// The sanitizers' clone() takes the child for a fork with memory of its own; they leave glibc's
// other name for the same function alone.
#if defined(__GLIBC__)
extern "C" int __clone(int (*)(void*), void*, int, void*, ...) noexcept;  // NOLINT
#define HEDDLE_CLONE ::__clone
#else
#define HEDDLE_CLONE ::clone
#endif

namespace heddle::inline HEDDLE_ABI::process {
namespace {

// The child only makes system calls; one page would do.
constexpr std::size_t stack_size = std::size_t{32} * 1024;
constexpr std::size_t guard_size = 4096;
constexpr std::size_t program_cache_limit = 256;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

// Blocks every signal of this thread, those the C library keeps to itself included, so that no
// handler runs in the child on shared memory.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    const std::uint64_t all = ~std::uint64_t{0};
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &saved_, sizeof saved_);
  }
  ~signals_blocked() {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved_, nullptr, sizeof saved_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  std::uint64_t saved_ = 0;
};

void reject_nul(const std::string& s, const char* where) {
  if (s.find('\0') != std::string::npos) {
    throw std::invalid_argument(std::string("command: NUL byte in ") + where + " \"" +
                                s.substr(0, s.find('\0')) + "\\0...\"");
  }
}

void validate(const command& what) {
  if (what.argv.empty()) throw std::invalid_argument("command: argv is empty");
  for (const std::string& argument : what.argv) reject_nul(argument, "argument");
  reject_nul(what.directory, "directory");
  for (const int descriptor : what.descriptors) {
    if (descriptor <= STDERR_FILENO) {
      throw std::invalid_argument("command: other descriptor " + std::to_string(descriptor) +
                                  " is not above 2");
    }
  }
  for (const std::string& variable : what.environment) {
    reject_nul(variable, "environment variable");
    if (const auto equals = variable.find('='); equals == std::string::npos || equals == 0) {
      throw std::invalid_argument("command: environment variable \"" + variable +
                                  "\" is not NAME=value");
    }
  }
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// The parent's environment with the additions; of several values for a name, the last one counts.
std::vector<char*> merged_environment(const std::vector<std::string>& additions) {
  std::vector<char*> result;
  const auto replaced = [](std::string_view name, auto first, auto last) {
    return std::any_of(first, last, [&](const std::string& a) { return name_of(a) == name; });
  };
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (!replaced(name_of(*variable), additions.begin(), additions.end())) {
      result.push_back(*variable);
    }
  }
  for (auto a = additions.begin(); a != additions.end(); ++a) {
    if (!replaced(name_of(*a), a + 1, additions.end())) {
      result.push_back(const_cast<char*>(a->c_str()));
    }
  }
  result.push_back(nullptr);
  return result;
}

std::string describe(launch_step step, const command& what) {
  const std::string program = "'" + what.argv.front() + "'";
  switch (step) {
    case launch_step::group:
      return "cannot run " + program + ": setpgid";
    case launch_step::descriptors:
      return "cannot run " + program + ": passing descriptors";
    case launch_step::directory:
      return "cannot run " + program + ": chdir to '" + what.directory + "'";
    case launch_step::limit:
      return "cannot run " + program + ": limiting descriptors";
    case launch_step::exec:
      return "cannot execute " + program;
    case launch_step::none:
      break;
  }
  return "cannot create a process for " + program;
}

}  // namespace

void reap_blocking(int pidfd) noexcept {
  siginfo_t info;
  while (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED) < 0 &&
         errno == EINTR) {
  }
}

launcher::~launcher() {
  if (stack_ != nullptr) ::munmap(stack_, stack_size);
}

void launcher::prepare() {
  if (!null_) {
    null_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null_) fail(errno, "cannot open /dev/null");
  }
  if (stack_ == nullptr) {
    void* const mapped = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapped == MAP_FAILED) fail(errno, "cannot map a stack for new processes");
    stack_ = mapped;
    ::mprotect(stack_, guard_size, PROT_NONE);
  }
}

launcher::candidates& launcher::look_up(const std::string& program) {
  const char* const variable = std::getenv("PATH");
  const std::string_view search_path = variable != nullptr ? variable : "/bin:/usr/bin";
  if (search_path != search_path_ || programs_.size() > program_cache_limit) {
    programs_.clear();
    search_path_ = search_path;
  }
  const auto [found, inserted] = programs_.try_emplace(program);
  candidates& result = found->second;
  if (!inserted) return result;
  if (program.empty() || program.find('/') != std::string::npos) {
    result.paths.push_back(program);
  } else {
    for (std::size_t begin = 0; begin <= search_path.size();) {
      const std::size_t end = std::min(search_path.find(':', begin), search_path.size());
      std::string path(search_path.substr(begin, end - begin));
      if (!path.empty()) path += '/';  // an empty entry is the working directory
      result.paths.push_back(path += program);
      begin = end + 1;
    }
  }
  for (const std::string& path : result.paths) result.pointers.push_back(path.c_str());
  return result;
}

launched launcher::start(const command& what) {
  validate(what);
  prepare();
  candidates& program = look_up(what.argv.front());

  std::vector<char*> arguments;
  arguments.reserve(what.argv.size() + 2);
  arguments.push_back(const_cast<char*>("/bin/sh"));
  for (const std::string& a : what.argv) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  if (!what.environment.empty()) environment = merged_environment(what.environment);

  std::vector<int> kept = what.descriptors;
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());

  launch_plan plan;
  plan.paths = program.pointers.data();
  plan.path_count = program.pointers.size();
  plan.hint = program.hint;
  plan.argv = arguments.data() + 1;
  plan.environment = environment.empty() ? environ : environment.data();
  if (!what.directory.empty()) plan.directory = what.directory.c_str();
  plan.standard[0] = what.standard_input < 0 ? null_.get() : what.standard_input;
  plan.standard[1] = what.standard_output;
  plan.standard[2] = what.standard_error;
  plan.kept = kept.data();
  plan.kept_count = kept.size();
  plan.own_group = what.own_group;
  plan.limits_descriptors = what.descriptor_limit.has_value();
  plan.descriptor_limit = what.descriptor_limit.value_or(0);

  int pidfd = -1;
  launched result;
  int error = 0;
  {
    const signals_blocked blocked;
    result.pid = HEDDLE_CLONE(run_launch_plan, static_cast<char*>(stack_) + stack_size,
                              CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
    error = errno;
  }
  if (result.pid < 0) fail(error, describe(launch_step::none, what));
  result.pidfd.reset(pidfd);
  if (!result.pidfd) {
    // A kernel before 5.2 ignores CLONE_PIDFD.
    ::kill(result.pid, SIGKILL);
    while (::waitpid(result.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    fail(ENOSYS, "cannot run '" + what.argv.front() + "': Linux 5.4 or later is needed for pidfd");
  }
  if (plan.failed != launch_step::none) {
    reap_blocking(result.pidfd.get());
    program.hint = no_hint;
    fail(plan.error, describe(plan.failed, what));
  }
  program.hint = plan.used;
  return result;
}

}  // namespace heddle::inline HEDDLE_ABI::process
