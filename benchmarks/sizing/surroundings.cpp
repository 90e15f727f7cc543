#include "surroundings.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/tree.hpp>
#include <optional>
#include <stdexcept>
#include <system_error>

extern char** environ;

namespace bench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

bool write_to(const fs::path& file, const std::string& text) {
  const int to = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (to < 0) return false;
  const bool written = write(to, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(to);
  return written;
}

// Where the kernel groups processes by session, a new session is as urgent as any, whatever the
// urgency of the one it came from.
void give_own_urgency_to(pid_t process) {
  std::ifstream own("/proc/self/autogroup");
  std::string word;
  std::string nice;
  if (own >> word >> word >> nice)
    write_to("/proc/" + std::to_string(process) + "/autogroup", nice);
}

class group_quota final : public cpu_limit {
 public:
  // Nothing where groups cannot be made, or have no quota.
  static std::unique_ptr<group_quota> make() {
    for (const auto& chain : heddle::kernel::find_cgroups(heddle::kernel::tree{}, "cpu")) {
      const fs::path home = chain.levels.empty() ? "" : chain.levels.front().directory;
      if (home.empty()) continue;
      const bool v1 = chain.version == heddle::kernel::cgroup_version::v1;
      const fs::path own = home / ("heddle-bench-" + std::to_string(getpid()));
      if (mkdir(own.c_str(), 0755) != 0) continue;
      const fs::path file = own / (v1 ? "cpu.cfs_quota_us" : "cpu.max");
      if (fs::exists(file) && write_to(own / "cgroup.procs", std::to_string(getpid())))
        return std::unique_ptr<group_quota>(new group_quota(home, own, file, v1));
      rmdir(own.c_str());
    }
    return nullptr;
  }

  ~group_quota() override {
    write_to(home_ / "cgroup.procs", std::to_string(getpid()));
    rmdir(own_.c_str());
  }

  void set(double cores) override {
    write_limit(std::to_string(static_cast<long>(cores * period_microseconds)));
  }
  void lift() override { write_limit(v1_ ? "-1" : "max"); }
  std::string how() const override {
    return std::string("by the CPU quota of a cgroup v") + (v1_ ? "1" : "2");
  }

 private:
  static constexpr int period_microseconds = 100'000;

  group_quota(fs::path home, fs::path own, fs::path file, bool v1)
      : home_(std::move(home)), own_(std::move(own)), file_(std::move(file)), v1_(v1) {}

  void write_limit(const std::string& quota) const {
    if (!write_to(file_, v1_ ? quota : quota + ' ' + std::to_string(period_microseconds)))
      fail(file_.string());
  }

  fs::path home_;
  fs::path own_;
  fs::path file_;
  bool v1_;
};

class affinity_limit final : public cpu_limit {
 public:
  affinity_limit() { sched_getaffinity(0, sizeof all_, &all_); }
  ~affinity_limit() override { give(all_); }

  void set(double cores) override {
    int left = static_cast<int>(std::ceil(cores));
    cpu_set_t some;
    CPU_ZERO(&some);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && left > 0; ++cpu) {
      if (!CPU_ISSET(cpu, &all_)) continue;
      CPU_SET(cpu, &some);
      --left;
    }
    give(some);
  }
  void lift() override { give(all_); }
  std::string how() const override { return "simulated by affinity: no cgroup could be made"; }

 private:
  // A thread may start another one meanwhile, which has the older set: so twice.
  static void give(const cpu_set_t& cpus) {
    for (int i = 0; i < 2; ++i)
      for (const pid_t thread : heddle::kernel::list_threads(getpid()))
        sched_setaffinity(thread, sizeof cpus, &cpus);
  }

  cpu_set_t all_{};
};

}  // namespace

companion::companion(const std::string& program, const std::vector<std::string>& arguments) {
  const std::string path = fs::read_symlink("/proc/self/exe").parent_path() / program;
  std::vector<std::string> words{path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  errno = posix_spawn(&process_, path.c_str(), &actions, &attributes, argv.data(), environ);
  const bool started = errno == 0;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (!started) {
    close(ends[0]);
    fail(path);
  }
  for (char c = 0; read(ends[0], &c, 1) == 1 && c != '\n';) first_line_ += c;
  close(ends[0]);
  give_own_urgency_to(process_);
}

companion::~companion() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

double companion::cpu_seconds() const {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(process_, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

void companion::pause() { kill(process_, SIGSTOP); }
void companion::go_on() { kill(process_, SIGCONT); }

double cpu_seconds_of_machine() {
  std::ifstream stat("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, disk = 0, irq = 0, softirq = 0, stolen = 0;
  stat >> name >> user >> nice >> system >> idle >> disk >> irq >> softirq >> stolen;
  // Interrupts may serve anybody, so they are left out.
  return (user + nice + system + stolen) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::unique_ptr<cpu_limit> make_cpu_limit() {
  if (auto by_group = group_quota::make()) return by_group;
  return std::make_unique<affinity_limit>();
}

}  // namespace bench
