#include "job_slot.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "orphans.hpp"

namespace heddle::tool {
namespace {

using std::chrono::steady_clock;

// How often it is checked whether the group of a job that was told to stop is gone. Nothing tells
// the end of processes that are not our own children.
constexpr std::chrono::milliseconds look_interval{10};

}  // namespace

job_slot::job_slot(process::event_loop& loop, output_store& store, std::span<char> buffer,
                   slot_owner& owner)
    : kept{spool(store), spool(store)},
      loop_(loop),
      owner_(owner),
      buffer_(buffer),
      timer_(
          loop, [](void* self) noexcept { static_cast<job_slot*>(self)->on_time(); }, this),
      pipes_{pipe(*this, stream::output), pipe(*this, stream::error)} {}

job_slot::~job_slot() {
  for (pipe& p : pipes_) close(p);
}

void job_slot::start(bool ungrouped, std::chrono::nanoseconds time_limit) {
  std::array<process::unique_descriptor, streams> write_ends;
  try {
    if (!ungrouped) open_pipes(write_ends);
    command.standard_output = write_ends[0].get();
    command.standard_error = write_ends[1].get();
    child_ = process::child(loop_, command, *this);
    if (!ungrouped) child_.hold();
  } catch (...) {
    for (pipe& p : pipes_) close(p);
    throw;
  }
  state_ = state::running;
  timed_out_ = stopping_ = killed_ = given_up_ = false;
  deadline_ = patience_ends_ = steady_clock::time_point::max();
  if (time_limit.count() == 0) return;
  deadline_ = steady_clock::now() + time_limit;
  timer_.arm(deadline_);
}

void job_slot::open_pipes(std::array<process::unique_descriptor, streams>& write_ends) {
  for (std::size_t i = 0; i < streams; ++i) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
    }
    pipes_[i].descriptor.reset(ends[0]);
    write_ends[i].reset(ends[1]);
    pipes_[i].paused = false;
    loop_.watch(ends[0], EPOLLIN, pipes_[i]);
  }
}

void job_slot::stop(bool escalate) noexcept {
  if (!running()) return;
  adopt_orphans();
  stopping_ = true;
  signal(SIGTERM);
  // A stopped process cannot act on the signal.
  signal(SIGCONT);
  patience_ends_ = escalate ? steady_clock::now() + grace : deadline_;
  if (state_ == state::ended) {
    look_at_group();
  } else {
    timer_.arm(patience_ends_);
    child_.release();
  }
}

void job_slot::kill() noexcept {
  if (!running()) return;
  adopt_orphans();
  stopping_ = killed_ = true;
  child_.kill_group_at_exit();
  signal(SIGKILL);
  patience_ends_ = steady_clock::now() + grace;
  if (state_ == state::ended) {
    for (pipe& p : pipes_) drain_and_close(p);
    look_at_group();
  } else {
    child_.release();
  }
}

void job_slot::proceed(std::chrono::nanoseconds after) noexcept {
  if (!running()) return;
  signal(SIGCONT);
  for (auto* const end : {&deadline_, &patience_ends_}) {
    if (*end != steady_clock::time_point::max()) *end += after;
  }
  if (state_ == state::running && timer_.armed())
    timer_.arm(stopping_ ? patience_ends_ : deadline_);
}

// The end of the time limit, of the patience after it, or another look at the group.
void job_slot::on_time() noexcept {
  if (!stopping_) {
    timed_out_ = true;
    stop(true);
  } else if (steady_clock::now() < patience_ends_) {
    look_at_group();
  } else if (!killed_) {
    kill();
  } else {
    given_up_ = true;
    end_if_over();
  }
}

// Once its process has ended, a job that was told to stop is watched until its group is gone.
void job_slot::look_at_group() noexcept {
  const auto now = steady_clock::now();
  patience_ends_ = std::min(patience_ends_, now + grace);
  timer_.arm(std::min(now + look_interval, patience_ends_));
  end_if_over();
}

// To the group. Our child is held, so that its number cannot be given to another group, until its
// output is closed or it is told to stop. After that the group may be gone, but its number is not
// given out again within the few seconds that remain.
void job_slot::signal(int number) noexcept {
  if (state_ == state::running) {
    child_.signal_group(number);
  } else if (state_ == state::ended) {
    ::kill(-child_.pid(), number);
  }
}

// Takes what we adopted of the group first: a zombie is still a member.
bool job_slot::group_is_gone() const noexcept {
  while (::waitpid(-child_.pid(), nullptr, WNOHANG) > 0) {
  }
  return ::kill(-child_.pid(), 0) != 0 && errno == ESRCH;
}

void job_slot::on_exit(const process::exit_report& report) noexcept {
  report_ = report;
  state_ = state::ended;
  if (killed_) {
    for (pipe& p : pipes_) drain_and_close(p);
  }
  if (stopping_) {
    look_at_group();
  } else {
    end_if_over();
  }
}

// The last statement of whoever calls it: the next job may have been started afterwards.
void job_slot::end_if_over() noexcept {
  if (pipes_[0].descriptor || pipes_[1].descriptor) return;
  if (state_ == state::running) {
    owner_.before_reap(*this);
    return child_.release();  // calls on_exit() if it has ended
  }
  if (state_ != state::ended) return;
  if (stopping_ && !given_up_ && !group_is_gone()) return;
  timer_.disarm();
  state_ = state::idle;
  owner_.on_job_end(*this);  // may start the next job
}

void job_slot::pipe::on_ready(std::uint32_t events) noexcept {
  if ((events & EPOLLIN) != 0) {
    slot.read(*this);
  } else {
    slot.close(*this);  // closed by all writers, and empty
    slot.end_if_over();
  }
}

void job_slot::read(pipe& from) noexcept {
  const ssize_t n = ::read(from.descriptor.get(), buffer_.data(), buffer_.size());
  if (n > 0) {
    owner_.on_output(*this, from.which,
                     std::string_view(buffer_.data(), static_cast<std::size_t>(n)));
  } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
    close(from);
    end_if_over();
  }
}

// Takes what is in the pipe now, whoever may still hold it open.
void job_slot::drain_and_close(pipe& p) noexcept {
  int available = 0;
  while (p.descriptor && ::ioctl(p.descriptor.get(), FIONREAD, &available) == 0 && available > 0) {
    const ssize_t n = ::read(p.descriptor.get(), buffer_.data(), buffer_.size());
    if (n <= 0) break;
    owner_.on_output(*this, p.which, std::string_view(buffer_.data(), static_cast<std::size_t>(n)));
  }
  close(p);
}

void job_slot::close(pipe& p) noexcept {
  if (!p.descriptor) return;
  if (!p.paused) loop_.unwatch(p.descriptor.get());
  p.descriptor.reset();
  p.paused = false;
}

void job_slot::pause(stream which) noexcept {
  pipe& p = pipes_[static_cast<std::size_t>(which)];
  if (!p.descriptor || p.paused) return;
  loop_.unwatch(p.descriptor.get());
  p.paused = true;
}

void job_slot::resume(stream which) noexcept {
  pipe& p = pipes_[static_cast<std::size_t>(which)];
  if (!p.descriptor || !p.paused) return;
  try {
    loop_.watch(p.descriptor.get(), EPOLLIN, p);
    p.paused = false;
  } catch (const std::system_error&) {
    // Without memory for the registration, the pipe is read when the job ends or is killed.
    kill();
  }
}

}  // namespace heddle::tool
