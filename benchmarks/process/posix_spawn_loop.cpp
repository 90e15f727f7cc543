// Keeps SLOTS children of /bin/true running until JOBS of them have ended, with posix_spawn.
//   bare   no attributes, reaped by waitpid for any child
//   pidfd  with what Heddle's children get: a group, default signals, an empty mask, /dev/null, no
//          other descriptor; reaped through a pidfd in epoll, with resource usage
// usage: posix_spawn_loop bare|pidfd SLOTS JOBS
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern char** environ;

namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(255);
}

pid_t start(const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes) {
  char program[] = "/bin/true";
  char* argv[] = {program, nullptr};
  pid_t pid = 0;
  if ((errno = posix_spawn(&pid, program, actions, attributes, argv, environ)) != 0) {
    fail("posix_spawn");
  }
  return pid;
}

int run_bare(int slots, int jobs) {
  int failed = 0;
  for (int started = 0, running = 0; started < jobs || running > 0; --running) {
    for (; started < jobs && running < slots; ++started, ++running) start(nullptr, nullptr);
    int status = 0;
    if (waitpid(-1, &status, 0) < 0) fail("waitpid");
    failed += status != 0;
  }
  return failed;
}

int run_pidfd(int slots, int jobs) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t set;
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes, &set);
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  int failed = 0;
  for (int started = 0, running = 0; started < jobs || running > 0;) {
    for (; started < jobs && running < slots; ++started, ++running) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = static_cast<int>(syscall(SYS_pidfd_open, start(&actions, &attributes), 0));
      if (epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) < 0) fail("epoll_ctl");
    }
    epoll_event events[64];
    const int count = epoll_wait(epoll, events, 64, -1);
    if (count < 0) fail("epoll_wait");
    for (int i = 0; i < count; ++i, --running) {
      siginfo_t info{};
      rusage usage{};
      const int pidfd = events[i].data.fd;
      if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, &usage) < 0) fail("waitid");
      failed += info.si_code != CLD_EXITED || info.si_status != 0;
      epoll_ctl(epoll, EPOLL_CTL_DEL, pidfd, nullptr);
      close(pidfd);
    }
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  if (mode != "bare" && mode != "pidfd") {
    std::fprintf(stderr, "usage: posix_spawn_loop bare|pidfd SLOTS JOBS\n");
    return 2;
  }
  const int slots = std::atoi(argv[2]);
  const int jobs = std::atoi(argv[3]);
  return (mode == "bare" ? run_bare(slots, jobs) : run_pidfd(slots, jobs)) == 0 ? 0 : 1;
}
