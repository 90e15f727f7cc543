#include <algorithm>
#include <deque>

#include <heddle/future/wait.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Several nodes of one waiting thread, each attached to a future's event.
//
// A node may die only when no wake-up can touch it any more. Each attached node holds one count of
// `pending_`, and so does the owner. A wake-up gives up its node's count as its last access; the
// owner takes the counts of the nodes that it could detach, then its own. If that was not the last
// one, wake-ups are under way, and the one that takes the last count wakes the owner.
class node_group {
 public:
  explicit node_group(std::size_t nodes) : pending_(nodes + 1) {}

  // By a wake-up, or in place of one that will never come. Nothing is touched afterwards.
  void done_with_node() noexcept {
    if (pending_.fetch_sub(1, prim::acq_rel) == 1) drained_.unpark();
  }

  // By the owner, once. Then no wake-up is under way.
  void drain() noexcept {
    if (pending_.fetch_sub(1, prim::acq_rel) != 1) drained_.park();
  }

 private:
  prim::atomic<std::size_t> pending_;
  prim::parker drained_;
};

class several final : public node_group {
 public:
  several(std::span<future_state* const> states, wait_condition until)
      : node_group(states.size()), until_(until), left_(states.size()) {
    for (future_state* s : states) nodes_.emplace_back(*this, *s);
  }

  void wait(prim::time_point deadline) {
    if (nodes_.empty()) {
      drain();
      return;
    }
    struct always_detach {
      several& self;
      ~always_detach() { self.detach_all(); }
    } const guard{*this};
    waiting record(*this, deadline);
    const blocking_region region(record);
    for (node& n : nodes_) {
      n.attached = n.state.event().attach(n);
      if (!n.attached) {
        happened(n.state);
        done_with_node();
      }
      ++attached_or_done_;
    }
    satisfied_.park_until(deadline);
  }

 private:
  struct node final : waiter {
    node(several& g, future_state& s) noexcept : waiter(&woken), group(g), state(s) {}
    several& group;
    future_state& state;
    bool attached = false;
  };

  struct waiting final : wait_record {
    waiting(several& g, prim::time_point until) noexcept
        : wait_record{.kind = wait_kind::several, .object = &g}, group(g) {
      deadline = until;
      over = [](const wait_record& r) noexcept {
        return static_cast<const waiting&>(r).group.is_satisfied();
      };
      alternative = [](const wait_record& r, std::size_t i) noexcept {
        return static_cast<const waiting&>(r).group.unready(i);
      };
    }
    const several& group;
  };

  bool is_satisfied() const noexcept {
    return std::ranges::all_of(nodes_, [](const node& n) { return n.state.ready(); }) ||
           std::ranges::any_of(nodes_, [this](const node& n) {
             if (until_ == wait_condition::all_completed || !n.state.ready()) return false;
             return until_ == wait_condition::first_completed || n.state.failed();
           });
  }
  // The event of the i-th future that is not ready.
  const void* unready(std::size_t i) const noexcept {
    for (const node& n : nodes_) {
      if (!n.state.ready() && i-- == 0) return &n.state.event();
    }
    return nullptr;
  }

  static void woken(waiter* w) noexcept {
    several& group = static_cast<node*>(w)->group;
    group.happened(static_cast<node*>(w)->state);
    group.done_with_node();
  }

  void happened(future_state& s) noexcept {
    const bool last = left_.fetch_sub(1, prim::acq_rel) == 1;
    if (last || until_ == wait_condition::first_completed ||
        (until_ == wait_condition::first_exception && s.failed())) {
      satisfied_.unpark();
    }
  }

  void detach_all() noexcept {
    std::size_t at = 0;
    for (node& n : nodes_) {
      const bool never_attached = at++ >= attached_or_done_;
      if (never_attached || (n.attached && n.state.event().detach(n))) done_with_node();
    }
    drain();
  }

  const wait_condition until_;
  prim::atomic<std::size_t> left_;
  prim::parker satisfied_;
  std::deque<node> nodes_;
  std::size_t attached_or_done_ = 0;
};

wait_result sorted_out(std::span<future_state* const> states) {
  wait_result result;
  for (std::size_t i = 0; i < states.size(); ++i) {
    (states[i]->ready() ? result.done : result.not_done).push_back(i);
  }
  return result;
}

bool satisfied(std::span<future_state* const> states, wait_condition until) {
  const auto ready = [](future_state* s) { return s->ready(); };
  if (std::ranges::all_of(states, ready)) return true;
  if (until == wait_condition::first_completed) return std::ranges::any_of(states, ready);
  if (until == wait_condition::all_completed) return false;
  return std::ranges::any_of(states, [](future_state* s) { return s->ready() && s->failed(); });
}

}  // namespace

wait_result wait_several(std::span<future_state* const> states, wait_condition until,
                         prim::time_point deadline) {
  if (until == wait_condition::all_completed && deadline == prim::never) {
    for (future_state* s : states) s->await();
  } else if (!satisfied(states, until)) {
    several group(states, until);
    group.wait(deadline);
  }
  return sorted_out(states);
}

struct completion_order::shared final : node_group {
  explicit shared(std::span<future_state* const> states)
      : node_group(states.size()), remaining(states.size()) {
    for (future_state* s : states) nodes.emplace_back(*this, *s, nodes.size());
  }

  struct node final : waiter {
    node(shared& o, future_state& s, std::size_t i) noexcept
        : waiter([](waiter* w) noexcept { static_cast<node*>(w)->arrive(); }),
          order(o),
          state(s),
          position(i) {}

    void arrive() noexcept {
      shared& o = order;
      {
        const prim::scoped_lock lock(o.mutex);
        (o.last != nullptr ? o.last->after : o.first) = this;
        o.last = this;
      }
      o.arrival.unpark();
      o.done_with_node();
    }

    shared& order;
    future_state& state;
    const std::size_t position;
    node* after = nullptr;
    bool attached = false;
  };

  struct waiting final : wait_record {
    waiting(shared& s, prim::time_point until) noexcept
        : wait_record{.kind = wait_kind::several, .object = &s}, order(s) {
      deadline = until;
      over = [](const wait_record& r) noexcept {
        shared& o = static_cast<const waiting&>(r).order;
        const prim::scoped_lock lock(o.mutex);
        return o.first != nullptr;
      };
      alternative = [](const wait_record& r, std::size_t i) noexcept -> const void* {
        for (const node& n : static_cast<const waiting&>(r).order.nodes) {
          if (!n.state.ready() && i-- == 0) return &n.state.event();
        }
        return nullptr;
      };
    }
    shared& order;
  };

  node* pop() noexcept {
    const prim::scoped_lock lock(mutex);
    node* const n = first;
    if (n == nullptr) return nullptr;
    first = n->after;
    if (first == nullptr) last = nullptr;
    return n;
  }

  std::deque<node> nodes;
  std::size_t remaining;  // the owner's
  prim::parker arrival;
  prim::mutex mutex;
  node* first HEDDLE_GUARDED_BY(mutex) = nullptr;
  node* last HEDDLE_GUARDED_BY(mutex) = nullptr;
};

completion_order::completion_order(std::span<future_state* const> states)
    : shared_(std::make_unique<shared>(states)) {
  for (auto& n : shared_->nodes) {
    // The future may be read and destroyed before this object is, so the node keeps the state.
    n.state.retain();
    n.attached = n.state.event().attach(n);
    if (!n.attached) n.arrive();
  }
}

completion_order::~completion_order() {
  for (auto& n : shared_->nodes) {
    if (n.attached && n.state.event().detach(n)) shared_->done_with_node();
  }
  shared_->drain();
  for (auto& n : shared_->nodes) n.state.release();
}

std::size_t completion_order::next(prim::time_point deadline) {
  if (shared_->remaining == 0) return none;
  shared::node* n = shared_->pop();
  if (n == nullptr) {
    shared::waiting record(*shared_, deadline);
    const blocking_region region(record);
    do {
      // A token may be left from an arrival that was popped before.
      if (!shared_->arrival.park_until(deadline)) {
        n = shared_->pop();
        if (n == nullptr) return none;
        break;
      }
      n = shared_->pop();
    } while (n == nullptr);
  }
  --shared_->remaining;
  return n->position;
}

std::size_t completion_order::remaining() const noexcept { return shared_->remaining; }

}  // namespace heddle::inline HEDDLE_ABI::detail
