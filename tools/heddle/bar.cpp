#include "bar.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cmath>

#include "text.hpp"

namespace heddle::tool {
namespace {

using fractional_seconds = std::chrono::duration<double>;

std::size_t screen_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string rate_text(double rate) {
  if (rate >= 100) return fmt::format("{:.0f}/s", rate);
  if (rate >= 1) return fmt::format("{:.1f}/s", rate);
  if (rate >= 1.0 / 60) return fmt::format("{:.1f}/min", rate * 60);
  return fmt::format("{:.1f}/h", rate * 3600);
}

}  // namespace

std::string progress_line(const progress& p, double rate, fractional_seconds elapsed,
                          std::size_t width) {
  const bool has_total = p.expected && p.expected->jobs > 0;
  const double total = has_total ? std::max(p.expected->jobs, static_cast<double>(p.done)) : 0;
  const bool complete = has_total && p.expected->exact && static_cast<double>(p.done) >= total;

  std::string figures;
  if (has_total) {
    figures = fmt::format("{}/{}{:.0f}", p.done, p.expected->exact ? "" : "~", total);
  } else {
    figures = fmt::format("{} done", p.done);
  }
  if (!complete) figures += fmt::format("  {} running", p.running);
  if (p.failed != 0) figures += fmt::format("  {} failed", p.failed);
  if (rate > 0) figures += "  " + rate_text(rate);
  if (complete) {
    figures += "  took " + clock_time(elapsed.count());
  } else if (!has_total) {
    figures += fmt::format("  {}  more input to come", clock_time(elapsed.count()));
  } else if (rate > 0) {
    figures += "  ETA " + clock_time((total - static_cast<double>(p.done)) / rate);
  } else {
    figures += "  ETA -:--";
  }
  if (!has_total) return figures.substr(0, width);

  const double share = static_cast<double>(p.done) / total;
  const int percent = complete ? 100 : std::min(99, static_cast<int>(share * 100));
  std::string line = fmt::format("{:3}% ", percent);
  constexpr std::size_t widest_bar = 30;
  const std::size_t used = line.size() + figures.size() + 3;
  if (width >= used + 5) {
    const std::size_t room = std::min(widest_bar, width - used);
    const auto filled =
        complete ? room : static_cast<std::size_t>(share * static_cast<double>(room));
    line += '[' + std::string(filled, '#') + std::string(room - filled, '.') + "] ";
  }
  return (line + figures).substr(0, width);
}

void progress_bar::draw(const progress& p, clock::time_point now) {
  const double current = rate(p, now);
  if (in_midline()) return;  // it would be overwritten
  show(p, current, now);
}

bool progress_bar::in_midline() const noexcept {
  return !screen_.at_line_start() || (output_.is_screen() && !output_.at_line_start());
}

void progress_bar::show(const progress& p, double rate, clock::time_point now) {
  const std::size_t width = screen_width(screen_.descriptor());
  // The last column stays free: some terminals wrap when it is written.
  const std::string line =
      progress_line(p, rate, now - start_, std::max<std::size_t>(width, 2) - 1);
  screen_.decorate("\r" + line + "\x1b[K");
  shown_ = true;
}

void progress_bar::hide() noexcept {
  if (!shown_) return;
  screen_.decorate("\r\x1b[K");
  shown_ = false;
}

void progress_bar::finish(const progress& p, clock::time_point now) {
  if (in_midline()) screen_.decorate("\n");
  rate_ = static_cast<double>(p.ended) / std::max(fractional_seconds(now - start_).count(), 1e-9);
  last_ = now;
  last_ended_ = p.ended;
  show(p, rate_, now);
  screen_.decorate("\n");
  shown_ = false;
}

double progress_bar::rate(const progress& p, clock::time_point now) {
  const bool first = last_ == clock::time_point{};
  const double passed = fractional_seconds(now - (first ? start_ : last_)).count();
  if (passed < 0.02) return rate_;
  const double recent = static_cast<double>(p.ended - last_ended_) / passed;
  // Before there is a past worth the name, the mean since the start says most.
  constexpr double memory = 5;  // seconds
  const double age = fractional_seconds(now - start_).count();
  const double weight = 1 - std::exp(-passed / std::min(memory, std::max(age, passed)));
  rate_ = first ? recent : rate_ + weight * (recent - rate_);
  last_ = now;
  last_ended_ = p.ended;
  return rate_;
}

}  // namespace heddle::tool
