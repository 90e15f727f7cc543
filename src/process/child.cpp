#include <heddle/process/child.hpp>

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include <heddle/process/descriptor.hpp>

#include "launcher.hpp"

namespace heddle::inline HEDDLE_ABI::process {
namespace {

using std::chrono::steady_clock;

std::chrono::microseconds duration_of(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

void send(int pidfd, int number) noexcept {
  ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);
}

// By pidfd where the kernel can (6.9), which holds even if somebody else has reaped the child. By
// number otherwise: the number belongs to the group as long as the child has not been reaped.
void send_to_group(int pidfd, pid_t pid, int number) noexcept {
  constexpr unsigned process_group = 1U << 2;  // PIDFD_SIGNAL_PROCESS_GROUP
  if (::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, process_group) < 0 &&
      errno == EINVAL) {
    ::kill(-pid, number);
  }
}

}  // namespace

struct child::state final : io_handler {
  state(event_loop& l, exit_handler& h, bool group) noexcept
      : loop(l), handler(h), own_group(group) {}

  void signal_all(int number) noexcept {
    if (own_group) {
      send_to_group(pidfd.get(), pid, number);
    } else {
      send(pidfd.get(), number);
    }
  }

  // Takes the status if the child has ended. Plain waitid() hides the resource usage that the
  // system call returns.
  bool reap(exit_report& report) noexcept {
    siginfo_t info{};
    rusage usage{};
    long result;
    do {
      result = ::syscall(SYS_waitid, P_PIDFD, pidfd.get(), &info, WEXITED | WNOHANG, &usage);
    } while (result < 0 && errno == EINTR);
    if (result == 0 && info.si_pid == 0) return false;
    report.started = started;
    report.ended = ended.value_or(steady_clock::now());
    if (result < 0) {
      report.lost = true;
      return true;
    }
    if (info.si_code == CLD_EXITED) {
      report.status = info.si_status;
    } else {
      report.signal = info.si_status;
      report.core_dumped = info.si_code == CLD_DUMPED;
    }
    report.user = duration_of(usage.ru_utime);
    report.system = duration_of(usage.ru_stime);
    report.max_rss_kib = usage.ru_maxrss;
    report.voluntary_switches = usage.ru_nvcsw;
    report.involuntary_switches = usage.ru_nivcsw;
    return true;
  }

  void on_ready(std::uint32_t) noexcept override {
    if (!held) return finish();
    ended = steady_clock::now();
    loop.unwatch(pidfd.get());
  }

  void finish() noexcept {
    if (sweep) signal_all(SIGKILL);
    exit_report report;
    if (!reap(report)) return;
    loop.unwatch(pidfd.get());
    pidfd.reset();
    handler.on_exit(report);  // may destroy this
  }

  void kill_and_reap() noexcept {
    signal_all(SIGKILL);
    reap_blocking(pidfd.get());
    loop.unwatch(pidfd.get());
  }

  event_loop& loop;
  exit_handler& handler;
  const bool own_group;
  bool sweep = false;
  bool held = false;
  pid_t pid = 0;
  unique_descriptor pidfd;  // none once the child is reaped
  steady_clock::time_point started = steady_clock::now();
  std::optional<steady_clock::time_point> ended;  // seen while held
};

child::child(event_loop& loop, const command& what, exit_handler& handler) {
  auto s = std::make_unique<state>(loop, handler, what.own_group);
  launched process = loop.children().start(what);
  s->pid = process.pid;
  s->pidfd = std::move(process.pidfd);
  try {
    loop.watch(s->pidfd.get(), EPOLLIN, *s);
  } catch (...) {
    s->kill_and_reap();
    throw;
  }
  state_ = s.release();
}

child::child(child&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

child& child::operator=(child&& other) noexcept {
  child moved(std::move(other));
  std::swap(state_, moved.state_);
  return *this;
}

child::~child() {
  if (running()) state_->kill_and_reap();
  delete state_;
}

pid_t child::pid() const noexcept { return state_ != nullptr ? state_->pid : 0; }

bool child::running() const noexcept { return state_ != nullptr && state_->pidfd; }

void child::signal(int number) noexcept {
  if (running()) send(state_->pidfd.get(), number);
}

void child::signal_group(int number) noexcept {
  if (running()) state_->signal_all(number);
}

void child::kill_group_at_exit() noexcept {
  if (running() && state_->own_group) state_->sweep = true;
}

void child::hold() noexcept {
  if (running()) state_->held = true;
}

void child::release() noexcept {
  if (!running()) return;
  state_->held = false;
  if (state_->ended) state_->finish();  // may destroy this
}

}  // namespace heddle::inline HEDDLE_ABI::process
