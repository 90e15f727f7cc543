#include "sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>

namespace heddle::tool {
namespace {

// A file is always ready, so a long queue for it is written in turns with other events.
constexpr std::uint64_t bytes_per_turn = std::uint64_t{4} << 20;

}  // namespace

sink::sink(process::event_loop& loop, int descriptor, output_store& store, sink_owner& owner)
    : loop_(loop),
      owner_(owner),
      descriptor_(descriptor),
      target_(descriptor),
      queue_(store),
      go_on_(loop, [](void* self) noexcept { static_cast<sink*>(self)->on_ready(0); }, this) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) return;
  if (S_ISFIFO(status.st_mode)) {
    kind_ = kind::pipe;
  } else if (S_ISSOCK(status.st_mode)) {
    kind_ = kind::socket;
  } else if (S_ISCHR(status.st_mode) && ::isatty(descriptor) != 0) {
    kind_ = kind::screen;
  }
  if (kind_ == kind::pipe || kind_ == kind::screen) {
    const std::string path = fmt::format("/proc/self/fd/{}", descriptor);
    reopened_.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (reopened_) target_ = reopened_.get();
  }
}

sink::~sink() { stop_waiting(); }

void sink::write(std::string_view bytes) {
  if (failed_ || bytes.empty()) return;
  if (is_screen()) owner_.before_screen_output(*this);
  at_line_start_ = bytes.back() == '\n';
  while (queue_.empty() && !bytes.empty() && !failed_) {
    const std::size_t written = try_write(bytes);
    if (written == 0) break;
    bytes.remove_prefix(written);
  }
  if (failed_ || bytes.empty()) return;
  queue_.append(bytes);
  wait();
}

void sink::write(spool&& bytes) {
  if (failed_) bytes.clear();
  if (bytes.empty()) return;
  if (is_screen()) owner_.before_screen_output(*this);
  queue_.append(std::move(bytes));
  pump();
}

void sink::decorate(std::string_view bytes) noexcept {
  if (failed_ || !queue_.empty()) return;
  while (!bytes.empty()) {
    const ssize_t n = ::write(target_, bytes.data(), bytes.size());
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void sink::on_ready(std::uint32_t) noexcept {
  try {
    pump();
  } catch (const std::exception&) {
    fail(EIO);  // what had been kept on disk cannot be read back
  }
  if (!failed_ && queue_.size() <= low_mark) owner_.on_drained(*this);
}

void sink::pump() {
  std::uint64_t remaining = bytes_per_turn;
  while (!queue_.empty() && remaining != 0) {
    const std::string_view bytes = queue_.front();
    at_line_start_ = bytes.back() == '\n';
    const std::size_t written = try_write(bytes.substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), remaining))));
    if (failed_) return;
    if (written == 0) break;
    queue_.pop(written);
    remaining -= written;
  }
  if (queue_.empty()) {
    stop_waiting();
  } else {
    wait();
  }
}

std::size_t sink::try_write(std::string_view bytes) noexcept {
  const bool may_block = (kind_ == kind::pipe || kind_ == kind::screen) && !reopened_;
  if (may_block) {
    pollfd ready{target_, POLLOUT, 0};
    if (::poll(&ready, 1, 0) == 0) return 0;
    bytes = bytes.substr(0, PIPE_BUF);
  }
  for (;;) {
    const ssize_t n = kind_ == kind::socket
                          ? ::send(target_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                          : ::write(target_, bytes.data(), bytes.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) fail(errno);
    return 0;
  }
}

void sink::wait() {
  if (kind_ == kind::file) {
    go_on_.arm(std::chrono::steady_clock::now());
  } else if (!watched_) {
    loop_.watch(target_, EPOLLOUT, *this);
    watched_ = true;
  }
}

void sink::stop_waiting() noexcept {
  if (watched_) loop_.unwatch(target_);
  watched_ = false;
}

void sink::fail(int error) noexcept {
  failed_ = true;
  queue_.clear();
  stop_waiting();
  owner_.on_write_failed(*this, error);
}

}  // namespace heddle::tool
