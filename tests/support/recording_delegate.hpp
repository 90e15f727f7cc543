// A delegate that writes down what a wait tells it, installed on its thread while it lives.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle_test {

class recording_delegate final : public heddle::blocking_delegate {
 public:
  recording_delegate() : before_(heddle::exchange_blocking_delegate(this)) {}
  ~recording_delegate() { heddle::exchange_blocking_delegate(before_); }
  recording_delegate(const recording_delegate&) = delete;
  recording_delegate& operator=(const recording_delegate&) = delete;

  void help(heddle::executor_ref, heddle::job*) noexcept override { log.emplace_back("help"); }

  void enter(heddle::wait_record& r) override {
    record = &r;
    if (inside_enter) inside_enter();
    if (refuse) throw heddle::would_starve("no spare worker");
    log.push_back("enter " + description(r));
  }
  void leave(heddle::wait_record& r) noexcept override {
    if (inside_leave) inside_leave();
    log.push_back("leave " + description(r));
  }

  bool refuse = false;
  std::function<void()> inside_enter;
  std::function<void()> inside_leave;
  heddle::wait_record* record = nullptr;
  std::vector<std::string> log;

 private:
  static std::string description(const heddle::wait_record& r) {
    std::string text = heddle::describe(r.kind);
    if (r.name != nullptr) text.append(" ").append(r.name);
    return text;
  }

  heddle::blocking_delegate* before_;
};

}  // namespace heddle_test
