// What the tests of process/ share.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <heddle/process/child.hpp>
#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

namespace process_test {

using namespace heddle::process;

// A job that calls a function and frees itself; a discarded one is counted.
template <class F>
void post(event_loop& loop, F f, int* discarded = nullptr) {
  struct cell : heddle::job {
    cell(F g, int* d) : job(&cell::act), f(std::move(g)), discarded(d) {}
    static void act(job* j, heddle::verb v) noexcept {
      auto* const self = static_cast<cell*>(j);
      if (v == heddle::verb::run) {
        self->f();
      } else if (self->discarded != nullptr) {
        ++*self->discarded;
      }
      delete self;
    }
    F f;
    int* discarded;
  };
  loop.post(new cell(std::move(f), discarded));
}

struct pipe_ends {
  pipe_ends() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category());
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  unique_descriptor read;
  unique_descriptor write;
};

inline std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

// Stops the loop when the child has ended.
struct stop_at_exit final : exit_handler {
  explicit stop_at_exit(event_loop& l) : loop(l) {}
  void on_exit(const exit_report& r) noexcept override {
    report = r;
    loop.stop();
  }
  event_loop& loop;
  std::optional<exit_report> report;
};

struct outcome {
  exit_report report;
  std::string output;  // what fits into a pipe
};

// Runs one command to its end and returns what it wrote to its standard output.
inline outcome run(command what, event_loop* on = nullptr) {
  std::optional<event_loop> own;
  event_loop& loop = on != nullptr ? *on : own.emplace();
  pipe_ends out;
  what.standard_output = out.write.get();
  stop_at_exit handler(loop);
  child c(loop, what, handler);
  out.write.reset();
  loop.run();
  loop.restart();
  return {handler.report.value(), read_all(out.read.get())};
}

inline command shell(std::string script) { return {.argv = {"/bin/sh", "-c", std::move(script)}}; }

inline int open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  int count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

// Whether this process has a child at all, running or a zombie.
inline bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// Whether a process with this number exists and is not a zombie.
inline bool alive(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const unique_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  const std::string stat = read_all(file.get());
  const auto end = stat.rfind(')');
  return end != std::string::npos && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
}

// Waits until the process, which is about to end, has ended; false if it lives on for long.
inline bool ends(pid_t pid) {
  for (int i = 0; i < 3000 && alive(pid); ++i) ::usleep(10'000);
  return !alive(pid);
}

}  // namespace process_test
