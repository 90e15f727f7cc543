// Something that lives on an event loop until it is done, and must be told when the loop goes
// first.
#pragma once

#include <utility>

#include <heddle/process/event_loop.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// A node in the loop's list. Loop thread only.
class loop_resident {
 public:
  loop_resident(const loop_resident&) = delete;
  loop_resident& operator=(const loop_resident&) = delete;

  // The loop is being destroyed. Must leave().
  virtual void abandon() noexcept = 0;

 protected:
  loop_resident() noexcept = default;
  ~loop_resident() = default;

  void enter(event_loop& loop) noexcept {
    link_ = &loop.residents();
    next_ = std::exchange(*link_, this);
    if (next_ != nullptr) next_->link_ = &next_;
  }

  void leave() noexcept {
    if (link_ == nullptr) return;
    *link_ = next_;
    if (next_ != nullptr) next_->link_ = link_;
    link_ = nullptr;
  }

 private:
  loop_resident** link_ = nullptr;  // the pointer that points here
  loop_resident* next_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI::process
