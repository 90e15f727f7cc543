#include "watchdog.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "engine.hpp"
#include "trail.hpp"

namespace heddle::inline HEDDLE_ABI::model::detail {
namespace {

constexpr std::size_t signal_stack_bytes = std::size_t{64} << 10;
constexpr int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
struct sigaction before[std::size(crashes)];

void on_crash(int signal) {
  if (current != nullptr) {
    // Not safe in a signal handler, but the process ends anyway, and this is what it ends with.
    const std::string text = "heddle::model: the body crashed: " + std::string(strsignal(signal)) +
                             "\n  HEDDLE_MODEL_REPLAY='" + trail_text(*current) + "'\n";
    if (write(STDERR_FILENO, text.data(), text.size()) < 0) _exit(1);
  }
  for (std::size_t i = 0; i < std::size(crashes); ++i) sigaction(crashes[i], &before[i], nullptr);
  raise(signal);
}

}  // namespace

watchdog::watchdog(const engine& watched, std::chrono::nanoseconds limit)
    : watched_(watched), limit_(limit), thread_([this] { watch(); }) {}

watchdog::~watchdog() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void watchdog::watch() {
  std::unique_lock lock(mutex_);
  auto seen = watched_.heartbeat.load(std::memory_order_relaxed);
  // In two halves, since the whole process may have stood still, in a debugger for example: then
  // one half has passed at once, but not both.
  for (unsigned halves = 0; !wake_.wait_for(lock, limit_ / 2, [this] { return over_; });) {
    const auto now = watched_.heartbeat.load(std::memory_order_relaxed);
    halves = now == seen ? halves + 1 : 0;
    if (halves == 2) {
      // The other thread stands still, so its state can be read well enough for a last message.
      const unsigned self = watched_.self;
      const std::string text =
          "heddle::model: no operation for " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(limit_).count()) +
          " ms after T" + std::to_string(self) + at_text(watched_.threads[self].last) +
          ".\n  The body blocks or loops outside of heddle::prim: a std::mutex, a real sleep, "
          "input and output, a loop over plain memory.\n  Use heddle::prim there, or leave it out "
          "of the model; if it is only slow, raise options::stall_limit.\n  HEDDLE_MODEL_REPLAY='" +
          trail_text(watched_) + "'\n";
      std::fputs(text.c_str(), stderr);
      std::fflush(stderr);
      signal(SIGABRT, SIG_DFL);
      std::abort();
    }
    seen = now;
  }
}

crash_report::crash_report() : stack_(std::malloc(signal_stack_bytes)) {
  stack_t stack{};
  stack.ss_sp = stack_;
  stack.ss_size = signal_stack_bytes;
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_handler = &on_crash;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(crashes); ++i) sigaction(crashes[i], &action, &before[i]);
}

crash_report::~crash_report() {
  for (std::size_t i = 0; i < std::size(crashes); ++i) sigaction(crashes[i], &before[i], nullptr);
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  std::free(stack_);
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
