// Tasks that run at the same time inside of one that waits for all of them. Users need gather.hpp.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The first failure is kept, and tells the others to stop. Lives in the frame of the parent, which
// awaits all() before it goes.
//
// One word counts the children and tells what the parent waits for; the child that makes that true
// takes the mark away in the same exchange, which is its last access, and lets the parent go on.
// Protocol: docs/protocols/coroutines.md.
class HEDDLE_API task_set {
 public:
  // Throws std::bad_alloc.
  explicit task_set(task_frame& parent);
  ~task_set();
  task_set(const task_set&) = delete;
  task_set& operator=(const task_set&) = delete;

  // One of the children: a job that begins it. It lives in the frame of the parent as well.
  class HEDDLE_API child : public job, public task_end {
   public:
    child(const child&) = delete;
    child& operator=(const child&) = delete;

   protected:
    // `ended` destroys the frame and calls has_ended() as its last.
    explicit child(task_end::function ended) noexcept : job(&act), task_end(ended) {}
    ~child() = default;

    // Gives it to the parent's executor.
    void start(task_set& set, task_frame& frame) noexcept;
    // Null for no failure. Returns who goes on; the child may be gone.
    std::coroutine_handle<> has_ended(executor_ref ran_on, std::exception_ptr failure) noexcept {
      return set_->child_ended(ran_on, std::move(failure));
    }
    // The same for one that is used again as soon as it has been given back.
    task_set& set() const noexcept { return *set_; }
    static std::coroutine_handle<> one_has_ended(task_set& set, executor_ref ran_on,
                                                 std::exception_ptr failure) noexcept {
      return set.child_ended(ran_on, std::move(failure));
    }

   private:
    static void act(job* j, verb v) noexcept;

    task_set* set_ = nullptr;
    task_frame* frame_ = nullptr;
  };

  // The first is what rethrow() throws; further ones are unhandled exceptions.
  void fail(std::exception_ptr failure) noexcept;

  // Something has failed, or the task was told to stop: what has not begun need not.
  bool is_stopped() const noexcept { return token_.stop_requested(); }

  // Waits until fewer than `limit` run; until none does.
  class wait {
   public:
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_frame> P>
    bool await_suspend(std::coroutine_handle<P>) noexcept {
      return set_.suspend(mark_, most_);
    }
    void await_resume() const noexcept {}

   private:
    friend task_set;
    wait(task_set& set, std::uint64_t mark, std::uint64_t most) noexcept
        : set_(set), mark_(mark), most_(most) {}

    task_set& set_;
    const std::uint64_t mark_;
    const std::uint64_t most_;
  };
  wait fewer_than(std::size_t limit) noexcept { return {*this, wants_one, limit - 1}; }
  wait all() noexcept { return {*this, wants_all, 0}; }

  // Behind all(): throws the first failure, or that the executor has refused the parent.
  void rethrow();

 private:
  static constexpr std::uint64_t wants_one = 1;
  static constexpr std::uint64_t wants_all = 2;
  static constexpr std::uint64_t marks = wants_one | wants_all;
  static constexpr std::uint64_t one = 4;

  struct forward {
    prim::stop_source& to;
    void operator()() const noexcept { prim::stop_source(to).request_stop(); }
  };

  std::coroutine_handle<> child_ended(executor_ref ran_on, std::exception_ptr failure) noexcept;
  bool suspend(std::uint64_t mark, std::uint64_t most) noexcept;

  task_frame& parent_;
  prim::atomic<std::uint64_t> word_{0};
  prim::atomic<bool> has_failed_{false};
  prim::cell<std::exception_ptr> failure_;
  prim::stop_source source_;
  const prim::stop_token token_;
  std::optional<prim::stop_callback<forward>> parents_stop_;
};

// The task that asks; for coroutines of the library's own.
class this_frame {
 public:
  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    frame_ = &h.promise();
    return false;
  }
  task_frame& await_resume() const noexcept { return *frame_; }

 private:
  task_frame* frame_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
