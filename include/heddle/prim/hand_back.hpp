// How memory goes home to the thread that owns it. For the library's own use; why nothing is lost:
// docs/protocols/cells.md.
#pragma once

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim::detail {

// What other threads have left, a stack that is only taken as a whole. Node has a cell<Node*> next.
template <class Node>
class returned_stack {
 public:
  // Any thread. Linked from first to last.
  void push(Node* first, Node* last) noexcept {
    Node* top = top_.load(prim::relaxed);
    do {
      last->next.set(top);
    } while (!top_.compare_exchange_weak(top, first, prim::release, prim::relaxed));
  }
  // The owner only. All of it, the newest first.
  Node* take() noexcept { return top_.exchange(nullptr, prim::acquire); }
  // What comes meanwhile may go unnoticed.
  bool empty() const noexcept { return top_.load(prim::relaxed) == nullptr; }

 private:
  atomic<Node*> top_{nullptr};
};

// Who has what belongs to one thread at a time: somebody or nobody. Each owner sees all that the
// one before did.
class ownership {
 public:
  explicit constexpr ownership(bool taken) noexcept : taken_(taken) {}

  bool try_take() noexcept {
    return !taken_.load(prim::relaxed) && !taken_.exchange(true, prim::acquire);
  }
  void give_up() noexcept { taken_.store(false, prim::release); }

 private:
  atomic<bool> taken_;
};

// Leaves nodes with their owner. If nobody is that, there is nobody else to look after them: the
// calling thread does, as their owner for the time of tidy_up().
template <class Node, class F>
void hand_back(Node* first, Node* last, returned_stack<Node>& to, ownership& of,
               F tidy_up) noexcept {
  to.push(first, last);
  if (!of.try_take()) return;
  tidy_up();
  of.give_up();
}

}  // namespace heddle::inline HEDDLE_ABI::prim::detail
