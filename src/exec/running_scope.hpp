// Whose callback this thread is inside of.
#pragma once

#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The calling thread runs something on behalf of `owner` while this lives. Nests.
class running_scope {
 public:
  explicit running_scope(const void* owner) noexcept : owner_(owner), outer_(innermost()) {
    slot() = this;
  }
  ~running_scope() { slot() = const_cast<running_scope*>(outer_); }
  running_scope(const running_scope&) = delete;
  running_scope& operator=(const running_scope&) = delete;

  static bool inside(const void* owner) noexcept {
    for (const running_scope* s = innermost(); s != nullptr; s = s->outer_) {
      if (s->owner_ == owner) return true;
    }
    return false;
  }

 private:
  static void*& slot() noexcept { return prim::thread_value(prim::thread_slot::running); }
  static const running_scope* innermost() noexcept {
    return static_cast<const running_scope*>(slot());
  }

  const void* const owner_;
  const running_scope* const outer_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
