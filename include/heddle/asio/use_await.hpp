// Operations of Asio's in coroutines of any kind.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI::asio {

// The completion token that makes an operation something to await:
//
//   std::size_t n = co_await socket.async_read_some(buffer, heddle::asio::use_await);
//
// The operation begins when it is awaited, not before. A heddle::coro::task goes on on its own
// executor, any other coroutine where Asio calls the handler: on the I/O object's executor. It goes
// on with the heddle::context_ref that it had.
// Result: the values of the handler, without a leading error_code or exception_ptr: nothing, one,
// or a tuple. A leading error is thrown, an error_code as boost::system::system_error. With
// use_await_tuple no error is thrown, and it is the first value of the result:
//
//   auto [code, n] = co_await socket.async_read_some(buffer, heddle::asio::use_await_tuple);
//
// When Asio drops the operation, because its context is destroyed, `cancelled` is thrown; in a
// coroutine that is no task of Heddle's on the thread that does that.
// Cancelling: as for any handler, by the I/O object's cancel() or close().
// Requires: the coroutine is not destroyed while it is suspended here.
template <bool Throws>
struct await_token {};
inline constexpr await_token<true> use_await{};
inline constexpr await_token<false> use_await_tuple{};

namespace detail {

using heddle::detail::task_frame;

// A call that begins an operation. When it has returned, the coroutine may run on another thread,
// or be gone; so what that call has to be told lies here, and not in the coroutine's frame.
class initiation {
 public:
  initiation() : shared_(new shared) {}
  initiation(const initiation& other) noexcept : shared_(other.shared_) {
    shared_->owners.fetch_add(1, prim::relaxed);
  }
  initiation(initiation&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  initiation& operator=(initiation&&) = delete;
  ~initiation() {
    if (shared_ != nullptr && shared_->owners.fetch_sub(1, prim::acq_rel) == 1) delete shared_;
  }

  // The caller's, in the end: whether the operation was over before that.
  bool end() noexcept {
    shared_->under_way = false;
    return shared_->over;
  }
  // The operation is over. True: inside of that call.
  bool note_over() noexcept {
    if (shared_->thread != prim::this_thread_id() || !shared_->under_way) return false;
    shared_->over = true;
    return true;
  }

 private:
  struct shared {
    const prim::thread_id thread = prim::this_thread_id();
    // That thread's.
    bool under_way = true;
    bool over = false;

    prim::atomic<unsigned> owners{1};
  };

  shared* shared_;
};

// What Asio's handler leaves for the coroutine, in whose frame it lies.
template <bool Throws, class... Values>
class pending_operation {
 public:
  pending_operation() = default;
  pending_operation(const pending_operation&) = delete;
  pending_operation& operator=(const pending_operation&) = delete;

  template <class Promise>
  void prepare(std::coroutine_handle<Promise> waiting) noexcept {
    if constexpr (std::derived_from<Promise, task_frame>) {
      task_ = &waiting.promise();
      task_->note_context();
    } else {
      waiting_ = waiting;
      context_.emplace();
    }
  }

  auto take_result() {
    if (task_ != nullptr && task_->take_refusal()) task_frame::throw_refused();
    if (failure_ != nullptr) std::rethrow_exception(std::move(failure_));
    if constexpr (fails_first) {
      throw_error(std::get<0>(*values_));
      return take_from<1>(std::make_index_sequence<sizeof...(Values) - 1>());
    } else {
      return take_from<0>(std::make_index_sequence<sizeof...(Values)>());
    }
  }

  // The handler's; one of the two, once, and then resume(), unless the coroutine goes on by itself.
  template <class... Args>
  void complete(Args&&... args) noexcept {
    try {
      values_.emplace(std::forward<Args>(args)...);
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  void drop() noexcept {
    failure_ = std::make_exception_ptr(cancelled("an operation of Asio's was dropped"));
  }
  void resume() {
    if (task_ != nullptr) return task_->go_on();
    const std::coroutine_handle<> waiting = waiting_;
    const context_scope inside(context_->get());
    const captured_context kept;  // the coroutine may end, and this with it
    waiting.resume();
  }

 private:
  template <class First = void, class...>
  static constexpr bool is_error =
      std::is_same_v<First, boost::system::error_code> || std::is_same_v<First, std::exception_ptr>;
  static constexpr bool fails_first = Throws && is_error<Values...>;

  static void throw_error(const boost::system::error_code& code) {
    if (code) throw boost::system::system_error(code);
  }
  static void throw_error(std::exception_ptr& error) {
    if (error != nullptr) std::rethrow_exception(std::move(error));
  }

  template <std::size_t From, std::size_t... I>
  auto take_from(std::index_sequence<I...>) {
    if constexpr (sizeof...(I) == 1) {
      return std::get<From>(std::move(*values_));
    } else if constexpr (sizeof...(I) > 1) {
      return std::make_tuple(std::get<From + I>(std::move(*values_))...);
    }
  }

  // Who waits: a task of Heddle's, or a coroutine with its context.
  task_frame* task_ = nullptr;
  std::coroutine_handle<> waiting_;
  std::optional<captured_context> context_;
  std::optional<std::tuple<Values...>> values_;
  std::exception_ptr failure_;
};

// What Asio calls, or destroys uncalled.
template <bool Throws, class... Values>
class awaiting_handler {
 public:
  awaiting_handler(pending_operation<Throws, Values...>& for_whom, const initiation& begun)
      : pending_(&for_whom), begun_(begun) {}
  awaiting_handler(awaiting_handler&& other) noexcept
      : pending_(std::exchange(other.pending_, nullptr)), begun_(std::move(other.begun_)) {}
  awaiting_handler& operator=(awaiting_handler&&) = delete;
  ~awaiting_handler() {
    if (pending_ == nullptr) return;
    pending_->drop();
    finish();
  }

  template <class... Args>
  void operator()(Args&&... args) {
    pending_->complete(std::forward<Args>(args)...);
    finish();
  }

 private:
  void finish() {
    auto* const over = std::exchange(pending_, nullptr);
    if (!begun_.note_over()) over->resume();
  }

  pending_operation<Throws, Values...>* pending_;
  initiation begun_;
};

// Begins an operation with a handler; Values are what the handler is called with.
template <class Begin, bool Throws, class... Values>
class [[nodiscard]] awaitable_operation {
 public:
  explicit awaitable_operation(Begin&& begin) : begin_(std::move(begin)) {}

  class awaiter {
   public:
    explicit awaiter(Begin&& begin) : begin_(std::move(begin)) {}

    bool await_ready() const noexcept { return false; }
    // When beginning throws, the handler is gone, and has not resumed the coroutine.
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
      pending_.prepare(waiting);
      initiation begun;
      Begin begin(std::move(begin_));
      std::move(begin)(awaiting_handler<Throws, Values...>(pending_, begun));
      return !begun.end();
    }
    auto await_resume() { return pending_.take_result(); }

   private:
    Begin begin_;
    pending_operation<Throws, Values...> pending_;
  };

  awaiter operator co_await() && { return awaiter(std::move(begin_)); }

 private:
  Begin begin_;
};

}  // namespace detail
}  // namespace heddle::inline HEDDLE_ABI::asio

template <bool Throws, class Result, class... Args>
class boost::asio::async_result<heddle::asio::await_token<Throws>, Result(Args...)> {
 public:
  template <class Initiation, class... InitArgs>
  static auto initiate(Initiation&& initiation, heddle::asio::await_token<Throws>,
                       InitArgs&&... args) {
    auto begin =
        [initiation = std::decay_t<Initiation>(std::forward<Initiation>(initiation)),
         ... args = std::decay_t<InitArgs>(std::forward<InitArgs>(args))](auto&& handler) mutable {
          std::move(initiation)(std::move(handler), std::move(args)...);
        };
    return heddle::asio::detail::awaitable_operation<decltype(begin), Throws,
                                                     std::decay_t<Args>...>(std::move(begin));
  }
};
