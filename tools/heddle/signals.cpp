#include "signals.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace heddle::tool {
namespace {

constexpr int handled[] = {SIGINT,    SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
                           SIGVTALRM, SIGPROF, SIGXCPU, SIGIO,   SIGPWR,  SIGTSTP, SIGWINCH};

// Lets the signal have its default action, now.
void surrender_to(int number) noexcept {
  ::signal(number, SIG_DFL);
  ::raise(number);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, number);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
}

}  // namespace

signal_source::signal_source(process::event_loop& loop, signal_listener& listener)
    : loop_(loop), listener_(listener) {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int number : handled) {
    struct sigaction current{};
    ::sigaction(number, nullptr, &current);
    if (current.sa_handler != SIG_IGN) ::sigaddset(&wanted, number);
  }
  descriptor_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor_) throw std::system_error(errno, std::generic_category(), "signalfd");
  loop_.watch(descriptor_.get(), EPOLLIN, *this);
  ::sigprocmask(SIG_BLOCK, &wanted, &before_);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  // Otherwise the kernel would throw away how our children ended.
  ::signal(SIGCHLD, SIG_DFL);
}

signal_source::~signal_source() {
  loop_.unwatch(descriptor_.get());
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void signal_source::on_ready(std::uint32_t) noexcept {
  signalfd_siginfo info{};
  while (::read(descriptor_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    listener_.on_signal(static_cast<int>(info.ssi_signo));
  }
}

void stop_with_terminal() noexcept {
  surrender_to(SIGTSTP);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, SIGTSTP);
  ::sigprocmask(SIG_BLOCK, &only, nullptr);
}

void die_of(int number) noexcept {
  surrender_to(number);
  ::_exit(128 + number);
}

}  // namespace heddle::tool
