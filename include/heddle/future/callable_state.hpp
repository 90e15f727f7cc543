// A state whose value a callable makes: what every task and continuation has in common.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/future/state.hpp>
#include <heddle/future/stop_link.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// `Final` is the class that derives from it, and has a work() for the claimer.
template <class Final, class R, class F>
class callable_state : public typed_state<R> {
 public:
  using has_appendix = void;

  // The job's function, for work that may begin whenever somebody likes.
  static void act(job* j, verb v) noexcept {
    auto* const task = static_cast<Final*>(j);
    if (v == verb::run) {
      if (task->try_claim_entry()) task->work();
    } else if (v == verb::help) {
      if (task->try_claim_ahead()) task->work();
    } else if (v == verb::discard) {
      task->discard_entry();
    } else {
      act_on_itself(task, v);
    }
  }
  static void act_on_itself(Final* task, verb v) noexcept {
    if (v == own_verb::destroy) {
      destroy_state(task);
    } else if (v == own_verb::drop_work) {
      task->drop_work();
    } else {
      task->request_stop();
    }
  }

  // For the claimer, once, before the result can be seen.
  void drop_work() noexcept {
    callable().write([](auto& r) { std::destroy_at(r.template as<F>()); });
    if (this->has_link()) std::destroy_at(link_of(self()));
    if (this->has_context()) std::destroy_at(context_of(self()));
  }
  void request_stop() noexcept {}

 protected:
  template <class G>
  callable_state(job::function does, executor_ref home, G&& f) : typed_state<R>(does, home) {
    callable().write([&](auto& r) { r.template construct<F>(std::forward<G>(f)); });
  }

  // For the claimer. The callable and the context are gone before the result can be seen.
  template <class Invoke>
  void execute(Invoke&& invoke_callable) noexcept {
    // Where the callable stands in the value's place, the value waits here until that is free.
    [[maybe_unused]] std::optional<stored<R>> waiting;
    std::exception_ptr error;
    {
      const task_scope around(
          this->has_context() ? context_of(self())->get() : nullptr,
          callable().read([](const auto& r) { return task_name_of(*r.template as<F>()); }),
          &this->event());
      try {
        callable().write([&](auto& r) {
          F& f = *r.template as<F>();
          if constexpr (std::is_void_v<R>) {
            invoke_callable(std::move(f));
          } else if constexpr (!in_the_way) {
            this->emplace(invoke_callable(std::move(f)));
          } else if constexpr (std::is_reference_v<R>) {
            auto&& result = invoke_callable(std::move(f));
            waiting.emplace(std::addressof(result));
          } else {
            waiting.emplace(invoke_callable(std::move(f)));
          }
        });
      } catch (...) {
        error = std::current_exception();
      }
    }
    self()->drop_work();
    if (error != nullptr) {
      this->finish_with(outcome::error, std::move(error));
      return;
    }
    if constexpr (in_the_way && !std::is_void_v<R>) this->keep(std::move(*waiting));
    this->finish_with_value();
  }

 private:
  static constexpr bool callable_in_slot = future_state::fits_slot<F>;
  static constexpr bool in_the_way = callable_in_slot && typed_state<R>::value_in_slot;
  struct nowhere {};

  Final* self() noexcept { return static_cast<Final*>(this); }

  auto& callable() noexcept {
    if constexpr (callable_in_slot) {
      return this->slot();
    } else {
      return callable_;
    }
  }

  [[no_unique_address]] std::conditional_t<callable_in_slot, nowhere, prim::cell<room_for<F>>>
      callable_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
