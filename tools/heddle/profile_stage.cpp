#include "profile_stage.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string_view>
#include <thread>
#include <utility>

#include <heddle/base/job.hpp>
#include <heddle/kernel/quota.hpp>

#include "text.hpp"

namespace heddle::tool {
namespace {

constexpr std::chrono::milliseconds redraw_interval{100};

void put(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

// Columns that can be used: some terminals wrap when the last one is written.
std::size_t screen_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
  return size.ws_col - 1u;
}

}  // namespace

profile_stage::profile_stage(std::chrono::nanoseconds time_limit)
    : deadline_(start_ + time_limit),
      end_(
          loop_, [](void* self) noexcept { static_cast<profile_stage*>(self)->stop_waiting(); },
          this),
      redraw_(
          loop_, [](void* self) noexcept { static_cast<profile_stage*>(self)->draw(); }, this),
      has_screen_(::isatty(STDERR_FILENO) != 0) {
  signals_.emplace(loop_, static_cast<signal_listener&>(*this));
}

void profile_stage::wait(clock::time_point until, interruptible* told) {
  told_ = told;
  if (until != clock::time_point::max()) end_.arm(until);
  loop_.restart();
  loop_.run();
  end_.disarm();
  told_ = nullptr;
}

void profile_stage::run_aside(const std::function<void(std::stop_token)>& work) {
  // Posted, unlike told, the end cannot come before anybody waits for it.
  struct end_of_work final : job {
    explicit end_of_work(profile_stage& s) noexcept
        : job([](job* self, verb) noexcept {
            static_cast<end_of_work*>(self)->stage.stop_waiting();
          }),
          stage(s) {}
    profile_stage& stage;
  } end(*this);
  struct stopper final : interruptible {
    void interrupt(bool) noexcept override { source.request_stop(); }
    std::stop_source source;
  } stopper;

  std::exception_ptr failure;
  std::thread worker([&] {
    try {
      work(stopper.source.get_token());
    } catch (...) {
      failure = std::current_exception();
    }
    loop_.post(&end);
  });
  wait(clock::time_point::max(), &stopper);
  worker.join();
  if (failure) std::rethrow_exception(failure);
}

void profile_stage::show(std::function<std::string()> line) {
  line_ = std::move(line);
  draw();
}

void profile_stage::draw() noexcept {
  if (!has_screen_ || !line_) return;
  try {
    put(fmt::format("\r{}\x1b[K", std::string_view(line_()).substr(0, screen_columns())));
    shown_ = true;
    redraw_.arm(clock::now() + redraw_interval);
  } catch (const std::exception&) {
    // There is no progress line, then.
  }
}

void profile_stage::say(const std::string& message) {
  pass_on(fmt::format("heddle profile: {}\n", message));
}

void profile_stage::pass_on(std::string_view bytes) noexcept {
  if (shown_) put("\r\x1b[K");
  shown_ = false;
  put(bytes);
}

void profile_stage::clear() noexcept {
  if (shown_) put("\r\x1b[K");
  shown_ = false;
  line_ = nullptr;
  redraw_.disarm();
}

void profile_stage::die_if_told() {
  if (signal_ == 0) return;
  signals_.reset();
  die_of(signal_);
}

std::chrono::nanoseconds usual_length(std::chrono::nanoseconds time_limit) {
  using std::chrono::nanoseconds;
  nanoseconds least = std::chrono::milliseconds(20);
  const nanoseconds most = std::chrono::seconds(1);
  if (const auto quota = kernel::read_cpu_quota()) {
    constexpr int periods = 5;
    least = std::clamp<nanoseconds>(periods * quota->period, least, most);
  }
  return std::clamp(nanoseconds(time_limit / 100), least, most);
}

std::string progress_line(const profile_stage& stage, std::string_view workers, int size,
                          int measured, int expected) {
  const auto seconds = [](std::chrono::nanoseconds t) {
    return std::chrono::duration<double>(t).count();
  };
  const auto passed = profile_stage::clock::now() - stage.start();
  const std::string what =
      size == 0 ? "the adaptive law chooses: " : fmt::format("{} {} at once: ", size, workers);
  return fmt::format("{}run {} of about {}, {} of at most {}", what, measured + 1,
                     std::max(expected, measured + 1), clock_time(seconds(passed)),
                     clock_time(seconds(stage.time_limit())));
}

void profile_stage::on_signal(int number) noexcept {
  if (number == SIGWINCH) return draw();
  if (number == SIGTSTP) {
    ++pauses_;
    if (shown_) put("\r\x1b[K");
    const auto since = clock::now();
    if (told_ != nullptr) told_->suspend();
    stop_with_terminal();
    if (told_ != nullptr) told_->proceed(clock::now() - since);
    return draw();
  }
  if (signal_ == 0) signal_ = number;
  if (++signals_seen_ > 2) die_of(number);
  if (told_ != nullptr) {
    told_->interrupt(signals_seen_ > 1 || number == SIGQUIT);
  } else {
    stop_waiting();
  }
}

}  // namespace heddle::tool
