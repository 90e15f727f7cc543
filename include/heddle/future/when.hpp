// Futures of several futures.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// The futures that were waited for, and which of them was ready first.
template <class T>
struct when_any_result {
  std::size_t index = 0;
  std::vector<future<T>> futures;
};

namespace detail {

// Attached to every future; kept by a count of the nodes that may still be woken and of the thread
// that attaches them. Whoever takes the last count hands the futures over and frees it.
template <class T, class Result>
class joint {
 public:
  static future<Result> make(std::vector<future<T>> futures, bool first_is_enough,
                             const char* operation) {
    for (auto& f : futures) access::state(f, operation)->require_own_process();
    auto* const self = new joint(std::move(futures), first_is_enough);
    future<Result> result = self->promise_.get_future();
    self->attach();
    return result;
  }

 private:
  struct node final : waiter {
    node() noexcept : waiter(&woken) {}
    joint* owner = nullptr;
    future_state* state = nullptr;
  };

  joint(std::vector<future<T>> futures, bool first_is_enough)
      : futures_(std::move(futures)),
        nodes_(futures_.size()),
        counts_(futures_.size() + 1),
        first_is_enough_(first_is_enough) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].owner = this;
      nodes_[i].state = access::state(futures_[i], "when");
    }
  }

  static void woken(waiter* w) noexcept {
    auto* const n = static_cast<node*>(w);
    joint* const self = n->owner;
    self->happened(*n);
    self->give_up(1);
  }

  void attach() noexcept {
    for (node& n : nodes_) {
      if (n.state->event().attach(n)) continue;
      happened(n);
      give_up(1);
    }
    meet();
    give_up(1);
  }

  // The first one to be ready. The others are detached when all are attached as well, so by
  // whichever comes second: the end of attach() or the first wake-up.
  void happened(node& n) noexcept {
    node* none = nullptr;
    if (first_.compare_exchange_strong(none, &n, prim::acq_rel, prim::relaxed)) meet();
  }

  void meet() noexcept {
    if (met_.fetch_add(1, prim::acq_rel) != 1 || !first_is_enough_) return;
    std::size_t detached = 0;
    for (node& n : nodes_) {
      if (!n.state->ready() && n.state->event().detach(n)) ++detached;
    }
    if (detached != 0) give_up(detached);
  }

  void give_up(std::size_t counts) noexcept {
    if (counts_.fetch_sub(counts, prim::acq_rel) == counts) finish();
  }

  void finish() noexcept {
    promise<Result> p = std::move(promise_);
    if constexpr (std::is_same_v<Result, when_any_result<T>>) {
      const auto index = static_cast<std::size_t>(first_.load(prim::acquire) - nodes_.data());
      p.set_value(when_any_result<T>{index, std::move(futures_)});
    } else {
      p.set_value(std::move(futures_));
    }
    delete this;
  }

  std::vector<future<T>> futures_;
  std::vector<node> nodes_;
  promise<Result> promise_;
  prim::atomic<std::size_t> counts_;
  prim::atomic<node*> first_{nullptr};
  prim::atomic<unsigned> met_{0};
  const bool first_is_enough_;
};

}  // namespace detail

// A future that is ready when all of them are; its value is the futures, each ready, in their
// order. Nobody's exception is thrown by it. An empty vector is ready at once. Cancelling the new
// future does not cancel those it waits for; they then die when the last is ready. Blocks? No.
// Throws no_state, forked, std::bad_alloc; then nothing was waited for. Complexity: linear in the
// futures.
template <class T>
future<std::vector<future<T>>> when_all(std::vector<future<T>> futures) {
  return detail::joint<T, std::vector<future<T>>>::make(std::move(futures), false, "when_all");
}

// A future that is ready when one of them is; its value is the futures and the index of that one.
// Throws std::invalid_argument for an empty vector, no_state, forked, std::bad_alloc.
template <class T>
future<when_any_result<T>> when_any(std::vector<future<T>> futures) {
  if (futures.empty()) throw std::invalid_argument("when_any: no futures");
  return detail::joint<T, when_any_result<T>>::make(std::move(futures), true, "when_any");
}

}  // namespace heddle::inline HEDDLE_ABI
