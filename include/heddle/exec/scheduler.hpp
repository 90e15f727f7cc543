// An executor as a scheduler of the sender/receiver model.
#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// The names by which senders and receivers know each other belong to the library that composes them
// (std::execution, stdexec, ...), and Heddle needs none. These are its own, for receivers that call
// and are called by member functions alone. For a library, give its names to basic_scheduler:
//
//   struct stdexec_names {
//     using scheduler_t = stdexec::scheduler_t;
//     using sender_t = stdexec::sender_t;
//     using operation_state_t = stdexec::operation_state_t;
//     template <class... Signature>
//     using completion_signatures = stdexec::completion_signatures<Signature...>;
//     using set_value_t = stdexec::set_value_t;
//     using set_stopped_t = stdexec::set_stopped_t;
//     using get_stop_token_t = stdexec::get_stop_token_t;
//     template <class Tag>
//     using get_completion_scheduler_t = stdexec::get_completion_scheduler_t<Tag>;
//   };
//   heddle::basic_scheduler<stdexec_names> scheduler(pool);
struct sender_names {
  struct scheduler_t {};
  struct sender_t {};
  struct operation_state_t {};
  template <class... Signature>
  struct completion_signatures {};
  struct set_value_t {};
  struct set_stopped_t {};
  struct get_stop_token_t {};
  template <class Tag>
  struct get_completion_scheduler_t {};
};

// Where work begins: schedule() is a sender that completes on the executor.
//
//   auto operation = heddle::scheduler(pool).schedule().connect(receiver);
//   operation.start();   // receiver.set_value() is called on a worker
//
// Customization by members, as in P2300R10 and C++26: scheduler_concept, sender_concept and
// operation_state_concept name the tags; schedule(), connect(), start(), get_env() and query() are
// members; a receiver has set_value() and set_stopped(), both noexcept, and may have get_env(),
// whose result may be asked for a stop token.
//
// Completion: set_value() on the executor; set_stopped() there when a stop was requested before the
// work's turn, and, wherever the executor does that, when it discards the work. Never set_error:
// starting allocates nothing and cannot fail. Never inside start(), unless the executor runs
// work where it is posted. The receiver runs with the context that was current in start().
// Requires: the executor outlives the operations; a receiver's set_value and set_stopped do not
// throw. An operation that was started lives until its receiver is completed, and may be destroyed
// by that.
// Equality: the same executor. Copies are free.
template <class Names>
class basic_scheduler {
 public:
  using scheduler_concept = typename Names::scheduler_t;

  // Throws std::invalid_argument for a null reference.
  template <takes_jobs E>
    requires(!std::same_as<std::remove_cvref_t<E>, basic_scheduler>)
  explicit basic_scheduler(E&& where) : where_(detail::named_executor(where, "scheduler")) {}

  template <class Receiver>
  class operation;

  class sender {
   public:
    using sender_concept = typename Names::sender_t;
    using completion_signatures =
        typename Names::template completion_signatures<typename Names::set_value_t(),
                                                       typename Names::set_stopped_t()>;

    template <class Receiver>
    operation<std::remove_cvref_t<Receiver>> connect(Receiver&& receiver) const {
      return operation<std::remove_cvref_t<Receiver>>(where_, std::forward<Receiver>(receiver));
    }

    // Tells where the sender completes.
    class env {
     public:
      basic_scheduler query(
          typename Names::template get_completion_scheduler_t<typename Names::set_value_t>)
          const noexcept {
        return basic_scheduler(where_, 0);
      }

     private:
      friend class basic_scheduler::sender;
      explicit env(executor_ref where) noexcept : where_(where) {}

      executor_ref where_;
    };
    env get_env() const noexcept { return env(where_); }

   private:
    friend basic_scheduler;
    explicit sender(executor_ref where) noexcept : where_(where) {}

    executor_ref where_;
  };

  sender schedule() const noexcept { return sender(where_); }

  // The executor, for everything in Heddle that takes one.
  executor_ref executor() const noexcept { return where_; }

  friend bool operator==(const basic_scheduler&, const basic_scheduler&) noexcept = default;

 private:
  basic_scheduler(executor_ref where, int) noexcept : where_(where) {}

  executor_ref where_;
};

using scheduler = basic_scheduler<sender_names>;

// The work and its place in the executor's queue, in one object; it cannot be moved.
template <class Names>
template <class Receiver>
class basic_scheduler<Names>::operation final : job {
 public:
  using operation_state_concept = typename Names::operation_state_t;

  void start() & noexcept {
    context_.emplace();
    where_.post(this);
  }

 private:
  friend class basic_scheduler::sender;
  template <class R>
  operation(executor_ref where, R&& receiver)
      : job(&act), where_(where), receiver_(std::forward<R>(receiver)) {}

  static void act(job* j, verb v) noexcept {
    if (v == verb::help) return;
    auto* const self = static_cast<operation*>(j);
    const context_scope inside(self->context_->get());
    const captured_context kept;  // the receiver may end the operation
    const detail::task_scope around(kept.get(), detail::task_name_of(self->receiver_));
    if (v == verb::discard || self->stop_requested()) {
      std::move(self->receiver_).set_stopped();
    } else {
      std::move(self->receiver_).set_value();
    }
  }

  bool stop_requested() const noexcept {
    using get_stop_token_t = typename Names::get_stop_token_t;
    if constexpr (requires { receiver_.get_env().query(get_stop_token_t{}).stop_requested(); }) {
      return receiver_.get_env().query(get_stop_token_t{}).stop_requested();
    } else {
      return false;
    }
  }

  const executor_ref where_;
  Receiver receiver_;
  std::optional<captured_context> context_;  // since start
};

}  // namespace heddle::inline HEDDLE_ABI
