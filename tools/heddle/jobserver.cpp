#include "jobserver.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "failure.hpp"

namespace heddle::tool {
namespace {

// What make itself writes.
constexpr char token = '+';

// The pipe that a descriptor is an end of. Nothing when it is open for the other direction only.
std::optional<std::pair<dev_t, ino_t>> pipe_of(int descriptor, int forbidden_mode) noexcept {
  struct stat status{};
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == forbidden_mode) return std::nullopt;
  if (::fstat(descriptor, &status) != 0 || !S_ISFIFO(status.st_mode)) return std::nullopt;
  return std::pair(status.st_dev, status.st_ino);
}

// Where make did not pass on its pipe, the numbers may stand for something else, and what is read
// from there would be lost for others.
bool has_pipe(const jobserver_address& address) noexcept {
  if (address.what != jobserver_address::kind::pipe) return false;
  const auto read = pipe_of(address.read, O_WRONLY);
  return read && read == pipe_of(address.write, O_RDONLY);
}

// Makes before 4.4 end with an error when they are given the name of a pipe.
jobserver_style best_style() {
  const auto close = [](std::FILE* stream) { ::pclose(stream); };
  const std::unique_ptr<std::FILE, decltype(close)> answer(
      ::popen("MAKEFLAGS= make --version 2>/dev/null </dev/null", "re"), close);
  int major = 0;
  int minor = 0;
  const bool is_old = answer != nullptr &&
                      std::fscanf(answer.get(), "GNU Make %d.%d", &major, &minor) == 2 &&
                      (major < 4 || (major == 4 && minor < 4));
  return is_old ? jobserver_style::pipe : jobserver_style::fifo;
}

}  // namespace

token_pipe::token_pipe(int read_end, int write_end) : read_end_(read_end), write_end_(write_end) {
  int own[2];
  if (::pipe2(own, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe for job tokens");
  }
  out_.reset(own[0]);
  in_.reset(own[1]);
}

std::optional<char> token_pipe::take() noexcept {
  ssize_t n;
  do {
    n = ::splice(read_end_, nullptr, in_.get(), nullptr, 1, SPLICE_F_NONBLOCK);
  } while (n < 0 && errno == EINTR);
  if (n == 0 || (n < 0 && errno != EAGAIN)) is_broken_ = true;
  char taken = token;
  if (n != 1 || ::read(out_.get(), &taken, 1) != 1) return std::nullopt;
  return taken;
}

bool token_pipe::put(char given) noexcept {
  pollfd room{.fd = write_end_, .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return false;
  ssize_t n;
  do {
    n = ::write(write_end_, &given, 1);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

std::size_t token_pipe::count() const noexcept {
  int available = 0;
  return ::ioctl(read_end_, FIONREAD, &available) == 0 ? static_cast<std::size_t>(available) : 0;
}

std::vector<int> usable_descriptors(const jobserver_address& address) noexcept {
  if (!has_pipe(address) || std::min(address.read, address.write) <= STDERR_FILENO) return {};
  return {address.read, address.write};
}

jobserver_client::jobserver_client(process::event_loop& loop, const jobserver_address& address,
                                   token_listener& listener)
    : loop_(loop), listener_(listener), inherited_(usable_descriptors(address)) {
  switch (address.what) {
    case jobserver_address::kind::fifo:
      fifo_.reset(::open(address.path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
      if (!fifo_) throw run_error(fmt::format("{}: {}", address.path, std::strerror(errno)));
      if (!pipe_of(fifo_.get(), O_WRONLY)) {
        throw run_error(fmt::format("{} is not a named pipe", address.path));
      }
      pipe_.emplace(fifo_.get(), fifo_.get());
      return;
    case jobserver_address::kind::pipe:
      if (!has_pipe(address)) {
        throw run_error(
            fmt::format("descriptors {} and {} are not its pipe", address.read, address.write));
      }
      pipe_.emplace(address.read, address.write);
      return;
    case jobserver_address::kind::closed:
      throw run_error("make keeps it to itself");
    case jobserver_address::kind::unknown:
      throw run_error(fmt::format("\"{}\" is not known here", address.text));
  }
}

jobserver_client::~jobserver_client() {
  stop_waiting();
  give_back(0);
}

bool jobserver_client::have(unsigned jobs) noexcept {
  while (tokens_.size() + 1 < jobs) {
    try {
      tokens_.reserve(tokens_.size() + 1);
    } catch (const std::bad_alloc&) {
      return false;
    }
    const auto taken = pipe_->take();
    if (!taken) {
      wait();
      return false;
    }
    tokens_.push_back(*taken);
  }
  return true;
}

void jobserver_client::settle(unsigned jobs) noexcept { give_back(jobs); }

// The same bytes that were taken: they may mean something to others.
void jobserver_client::give_back(unsigned jobs) noexcept {
  while (!tokens_.empty() && tokens_.size() + 1 > jobs && pipe_->put(tokens_.back())) {
    tokens_.pop_back();
  }
}

void jobserver_client::on_ready(std::uint32_t) noexcept {
  stop_waiting();
  listener_.on_token();
}

void jobserver_client::wait() noexcept {
  if (watched_ || pipe_->is_broken()) return;
  try {
    loop_.watch(pipe_->read_end(), EPOLLIN, *this);
    watched_ = true;
  } catch (const std::exception&) {
    // The next job that ends asks again.
  }
}

void jobserver_client::stop_waiting() noexcept {
  if (std::exchange(watched_, false)) loop_.unwatch(pipe_->read_end());
}

jobserver::ends jobserver::make_pipe() {
  int made[2];
  if (::pipe2(made, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make a jobserver");
  }
  return {process::unique_descriptor(made[0]), process::unique_descriptor(made[1])};
}

jobserver::jobserver(process::event_loop& loop, jobserver_style style, token_listener& listener)
    : loop_(loop),
      listener_(listener),
      ends_(make_pipe()),
      pipe_(ends_.read.get(), ends_.write.get()),
      name_(fmt::format("/proc/{}/fd/{}", ::getpid(), ends_.read.get())),
      style_(style == jobserver_style::best ? best_style() : style) {
  // A name without a file: nothing is left of it when we are gone.
  if (style_ == jobserver_style::fifo && ::access(name_.c_str(), R_OK | W_OK) != 0) {
    style_ = jobserver_style::pipe;
  }
}

jobserver::~jobserver() { stop_waiting(); }

void jobserver::resize(unsigned slots) noexcept {
  slots_ = slots;
  if (total_ >= slots) return;
  in_hand_ += slots - total_;
  total_ = slots;
}

bool jobserver::have(unsigned jobs) noexcept {
  if (jobs == 1) take_stock();
  while (in_hand_ < jobs) {
    if (!take()) {
      if (!watched_ && !pipe_.is_broken()) {
        try {
          loop_.watch(ends_.read.get(), EPOLLIN, *this);
          watched_ = true;
        } catch (const std::exception&) {
          // The next job that ends asks again.
        }
      }
      return false;
    }
  }
  return true;
}

// With no job running all tokens should be here.
void jobserver::take_stock() noexcept {
  while (take()) {
  }
  if (in_hand_ < total_) lost_ += total_ - in_hand_;
  in_hand_ = total_ = slots_;
}

bool jobserver::take() noexcept {
  if (!pipe_.take()) return false;
  ++in_hand_;
  return true;
}

void jobserver::settle(unsigned jobs) noexcept {
  if (jobs == 0) take_stock();
  while (total_ > slots_ && (in_hand_ > jobs || take())) {
    --in_hand_;
    --total_;
  }
  // A child has given back more than it took.
  while (in_hand_ + pipe_.count() > total_ && take()) --in_hand_;
  while (in_hand_ > jobs && pipe_.put(token)) --in_hand_;
}

void jobserver::on_ready(std::uint32_t) noexcept {
  stop_waiting();
  listener_.on_token();
}

void jobserver::stop_waiting() noexcept {
  if (std::exchange(watched_, false)) loop_.unwatch(ends_.read.get());
}

std::string jobserver::makeflags() const {
  const char* const ours = std::getenv("MAKEFLAGS");
  const std::string address = style_ == jobserver_style::fifo
                                  ? "fifo:" + name_
                                  : fmt::format("{},{}", pipe_.read_end(), pipe_.write_end());
  return with_jobserver(ours != nullptr ? ours : "", slots_, address);
}

std::vector<int> jobserver::descriptors() const {
  if (style_ == jobserver_style::fifo) return {};
  return {pipe_.read_end(), pipe_.write_end()};
}

}  // namespace heddle::tool
