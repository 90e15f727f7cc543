// The thread's current context: what follows a piece of work from executor to executor.
#pragma once

#include <utility>

#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI {

// The head of a reference-counted context. Floors above put values behind it; the executors only
// carry it.
struct context_node {
  void (*retain)(context_node*) noexcept;
  void (*release)(context_node*) noexcept;
};

// A borrowed reference; null means "no context".
using context_ref = context_node*;

inline context_ref current_context() noexcept {
  return static_cast<context_ref>(prim::thread_value(prim::thread_slot::context));
}

// Makes `next` the calling thread's context and returns the one before. Moves no reference count.
inline context_ref exchange_current(context_ref next) noexcept {
  return static_cast<context_ref>(
      std::exchange(prim::thread_value(prim::thread_slot::context), next));
}

// The context of the thread that made it, kept alive; work that moves carries one.
// Costs one branch when there is no context.
class captured_context {
 public:
  captured_context() noexcept : node_(current_context()) {
    if (node_ != nullptr) node_->retain(node_);
  }
  ~captured_context() { reset(); }
  captured_context(const captured_context&) = delete;
  captured_context& operator=(const captured_context&) = delete;

  context_ref get() const noexcept { return node_; }
  void reset() noexcept {
    if (node_ != nullptr) node_->release(std::exchange(node_, nullptr));
  }

 private:
  context_ref node_;
};

// Puts a context in place for a scope, and the one before back at its end.
class context_scope {
 public:
  explicit context_scope(context_ref inside) noexcept : before_(exchange_current(inside)) {}
  ~context_scope() { exchange_current(before_); }
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;

 private:
  context_ref before_;
};

}  // namespace heddle::inline HEDDLE_ABI
