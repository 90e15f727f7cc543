// Futures of several futures.
#pragma once

#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// The futures that were waited for, a vector or a tuple, and which of them was ready first.
template <class Futures>
struct when_any_result {
  std::size_t index = 0;
  Futures futures;
};

namespace detail {

template <class Future>
inline constexpr bool is_future = false;
template <class T>
inline constexpr bool is_future<future<T>> = true;
template <class T>
inline constexpr bool is_future<shared_future<T>> = true;
template <class Future>
concept joinable = is_future<Future>;

template <joinable Future>
std::vector<future_state*> states_in(const std::vector<Future>& futures, const char* operation) {
  std::vector<future_state*> states;
  for (const auto& f : futures) states.push_back(access::state(f, operation));
  return states;
}
template <joinable... Future>
std::vector<future_state*> states_in(const std::tuple<Future...>& futures, const char* operation) {
  return std::apply(
      [operation](const auto&... f) {
        return std::vector<future_state*>{access::state(f, operation)...};
      },
      futures);
}

// Attached to every future; kept by a count of the nodes that may still be woken and of the thread
// that attaches them. Whoever takes the last count hands the futures over and frees it.
template <class Futures, class Result>
class joint {
 public:
  static future<Result> make(Futures futures, bool first_is_enough, const char* operation) {
    const std::vector<future_state*> states = states_in(futures, operation);
    for (const future_state* s : states) s->require_own_process();
    auto* const self = new joint(std::move(futures), states, first_is_enough);
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

  joint(Futures futures, const std::vector<future_state*>& states, bool first_is_enough)
      : futures_(std::move(futures)),
        nodes_(states.size()),
        counts_(states.size() + 1),
        first_is_enough_(first_is_enough) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].owner = this;
      nodes_[i].state = states[i];
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
    if constexpr (std::is_same_v<Result, Futures>) {
      p.set_value(std::move(futures_));
    } else {
      const auto index = static_cast<std::size_t>(first_.load(prim::acquire) - nodes_.data());
      p.set_value(Result{index, std::move(futures_)});
    }
    delete this;
  }

  Futures futures_;
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
// future does not cancel those it waits for; they then die when the last is ready. Takes shared
// futures, too. Blocks? No. Throws no_state, forked, std::bad_alloc; then nothing was waited for,
// and the futures are gone. Complexity: linear in the futures.
template <detail::joinable Future>
future<std::vector<Future>> when_all(std::vector<Future> futures) {
  using all = std::vector<Future>;
  return detail::joint<all, all>::make(std::move(futures), false, "when_all");
}
// The same for futures of different kinds: when_all(std::move(a), std::move(b)).
template <detail::joinable... Future>
  requires(sizeof...(Future) > 0)
future<std::tuple<Future...>> when_all(Future... futures) {
  using all = std::tuple<Future...>;
  return detail::joint<all, all>::make(all(std::move(futures)...), false, "when_all");
}

// A future that is ready when one of them is; its value is the futures and the index of that one.
// Throws std::invalid_argument for an empty vector, and as when_all.
template <detail::joinable Future>
future<when_any_result<std::vector<Future>>> when_any(std::vector<Future> futures) {
  using all = std::vector<Future>;
  if (futures.empty()) throw std::invalid_argument("when_any: no futures");
  return detail::joint<all, when_any_result<all>>::make(std::move(futures), true, "when_any");
}
template <detail::joinable... Future>
  requires(sizeof...(Future) > 0)
future<when_any_result<std::tuple<Future...>>> when_any(Future... futures) {
  using all = std::tuple<Future...>;
  return detail::joint<all, when_any_result<all>>::make(all(std::move(futures)...), true,
                                                        "when_any");
}

}  // namespace heddle::inline HEDDLE_ABI
