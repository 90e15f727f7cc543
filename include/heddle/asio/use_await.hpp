// Operations of Asio's in coroutines of any kind.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#if __has_include(<boost/asio/cancellation_signal.hpp>)
#include <boost/asio/cancellation_signal.hpp>
#endif

#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
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
// Stopping: a task of Heddle's that has been told to stop begins nothing, and throws `cancelled`.
// When it is told so meanwhile, the operation is cancelled, if that can be done:
// - with Boost 1.77 or later through its cancellation slot, if it has one, as Asio's own have;
// - with any Boost by cancel() of the I/O object that the token names, which ends the other
//   operations of that object, too:
//
//   std::size_t n = co_await socket.async_read_some(buffer, use_await.cancel_with(socket));
//
// Either is done by a function that is posted to the object's executor, which has to run it. The
// task goes on when the operation has ended and that function has run, or was destroyed, and not
// before; so not as long as it lies in an io_context whose stop() was called. cancel() is called
// again until the operation has ended, in the end every 100 ms: the task may go on that much later.
// An operation that was aborted then throws `cancelled`; one that succeeded, or failed otherwise,
// did. With use_await_tuple what it ended with is the result. Other coroutines nobody stops.
// Cancelling: besides, as for any handler, by the I/O object's cancel() or close().
// Thread-safety: an operation begins on the executor of the coroutine, and is cancelled on that of
// the object. Where several threads run that, give the object a strand. It orders nothing that
// begins elsewhere: what else uses the object while an operation is under way, also to begin
// another, does so on the object's executor; a task gets there by schedule_on(), with an
// adapted_executor.
// Requires: the coroutine is not destroyed while it is suspended here; the object that is named
// lives until it goes on; the execution context of the object, named or not, is not destroyed while
// somebody may be telling the task to stop.
template <bool Throws, class Object>
struct cancelling_token {
  Object* object;
};
template <bool Throws>
struct await_token {
  // An object with get_executor() and cancel().
  template <class Object>
  constexpr cancelling_token<Throws, Object> cancel_with(Object& object) const noexcept {
    return {&object};
  }
};
inline constexpr await_token<true> use_await{};
inline constexpr await_token<false> use_await_tuple{};

namespace detail {

using heddle::detail::task_frame;

// A call that begins an operation of a coroutine that is no task. When it has returned, the
// coroutine may run on another thread, or be gone; so what that call has to be told lies here, and
// not in the coroutine's frame.
class initiation {
 public:
  initiation() : shared_(new shared) {}
  // Of a task, which does not go on before.
  explicit initiation(std::nullptr_t) noexcept : shared_(nullptr) {}
  initiation(const initiation& other) noexcept : shared_(other.shared_) {
    if (shared_ != nullptr) shared_->owners.fetch_add(1, prim::relaxed);
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

// How an operation that is under way is cancelled: on which executor, and by what. The executor may
// have to be gone before its context is: so it is kept from where the operation begins until it is
// over. Not at all:
struct no_canceller {
  using made_of = std::nullptr_t;
  explicit no_canceller(made_of) noexcept {}
  void forget_executor() const noexcept {}
};

template <class Object>
class object_canceller {
  using executor_type = std::decay_t<decltype(std::declval<Object&>().get_executor())>;
  using clock = std::chrono::steady_clock;

 public:
  using made_of = Object*;
  explicit object_canceller(Object* object) noexcept : object_(object) {}

  // An operation of several steps may be between two of them, and begin the next; so it is tried
  // again.
  static constexpr bool tries_again = true;
  using timer =
      boost::asio::basic_waitable_timer<clock, boost::asio::wait_traits<clock>, executor_type>;

  template <class Begin>
  void note_executor(const Begin&) {
    executor_.emplace(object_->get_executor());
  }
  void forget_executor() noexcept { executor_.reset(); }
  const executor_type& executor() const noexcept { return *executor_; }
  void cancel() { object_->cancel(); }

 private:
  Object* object_;
  std::optional<executor_type> executor_;
};

// What a handler tells Asio's operations.
template <class Canceller, class Handler>
struct told_to_asio {};

#if __has_include(<boost/asio/cancellation_signal.hpp>)
template <class Executor>
class slot_canceller {
 public:
  using made_of = std::nullptr_t;
  explicit slot_canceller(made_of) {}

  static constexpr bool tries_again = false;
  struct timer {};

  template <class Begin>
  void note_executor(const Begin& what) {
    executor_.emplace(what.initiation.get_executor());
  }
  void forget_executor() noexcept { executor_.reset(); }
  const Executor& executor() const noexcept { return *executor_; }
  void cancel() { signal_.emit(boost::asio::cancellation_type::all); }
  boost::asio::cancellation_slot slot() noexcept { return signal_.slot(); }

 private:
  boost::asio::cancellation_signal signal_;
  std::optional<Executor> executor_;
};

// As Asio's own initiations do: the one of the I/O object.
template <class Initiation>
concept names_executor = requires(const Initiation& i) {
  { i.get_executor() } -> std::convertible_to<typename Initiation::executor_type>;
};

template <class Executor, class Handler>
struct told_to_asio<slot_canceller<Executor>, Handler> {
  using cancellation_slot_type = boost::asio::cancellation_slot;
  cancellation_slot_type get_cancellation_slot() const noexcept {
    return static_cast<const Handler&>(*this).slot();
  }
};
#endif

// What Asio's handler leaves for the coroutine, in whose frame it lies.
//
// A task goes on when all have come here that know this: who begins the operation, the operation,
// and, if there is one, the function that cancels it. So it may be told to stop at any time: who is
// told so while the operation is under way posts that function, which finds this and the I/O object
// as they are. Protocol: docs/protocols/coroutines.md.
template <bool Throws, class Canceller, class... Values>
class pending_operation {
 public:
  explicit pending_operation(const typename Canceller::made_of& cancels) : canceller_(cancels) {}
  pending_operation(const pending_operation&) = delete;
  pending_operation& operator=(const pending_operation&) = delete;

  // What Asio calls, or destroys uncalled.
  class handler;

  // Whether the coroutine is to be suspended. When beginning throws, the handler is gone, and has
  // not resumed it.
  template <class Promise, class Begin>
  bool begin(std::coroutine_handle<Promise> waiting, Begin&& what) {
    if constexpr (std::derived_from<Promise, task_frame>) {
      return begin_in_task(waiting.promise(), std::move(what));
    } else {
      waiting_ = waiting;
      context_.emplace();
      initiation begun;
      Begin own(std::move(what));
      std::move(own)(handler(*this, begun));
      return !begun.end();
    }
  }

  auto take_result() {
    if (task_ != nullptr) end_wait();
    if (failure_ != nullptr) std::rethrow_exception(std::move(failure_));
    if constexpr (fails_first) {
      throw_error(std::get<0>(*values_));
      return take_from<1>(std::make_index_sequence<sizeof...(Values) - 1>());
    } else {
      return take_from<0>(std::make_index_sequence<sizeof...(Values)>());
    }
  }

 private:
  static constexpr bool can_cancel = !std::is_same_v<Canceller, no_canceller>;

  // Who has yet to come.
  enum party : unsigned { beginner = 1, operation = 2, canceller = 4 };

  struct trip {
    pending_operation& self;
    void operator()() const noexcept { self.cancel_soon(); }
  };

  // The function that cancels.
  class cancellation {
   public:
    explicit cancellation(pending_operation& what) noexcept : what_(&what) {}
    cancellation(cancellation&& other) noexcept
        : what_(std::exchange(other.what_, nullptr)),
          tries_(other.tries_),
          wait_(other.wait_),
          timer_(std::move(other.timer_)) {}
    cancellation& operator=(cancellation&&) = delete;
    ~cancellation() {
      timer_.reset();
      if (what_ != nullptr) what_->arrive(canceller);
    }

    void operator()() noexcept {
      if (!what_->is_under_way()) return;
      what_->cancel();
      if constexpr (Canceller::tries_again) {
        if (what_->is_under_way()) try_again();
      }
    }
    void operator()(const boost::system::error_code&) noexcept { (*this)(); }

    // Whoever has the function when this throws has destroyed it, or does.
    void post() {
      const auto executor = what_->canceller_.executor();
      boost::asio::post(executor, std::move(*this));
    }

   private:
    static constexpr int turns = 10;
    static constexpr std::chrono::milliseconds longest_wait{100};

    // At first in the executor's next turn. But a step may have ended on a thread that is late in
    // telling the executor, which makes any number of turns meanwhile; so by time from then on.
    // Without memory it is given up.
    void try_again() noexcept {
      try {
        if (++tries_ < turns) return post();
        if (timer_ == nullptr) {
          timer_ = std::make_unique<typename Canceller::timer>(what_->canceller_.executor());
        }
        auto& timer = *timer_;
        timer.expires_after(std::exchange(wait_, std::min(2 * wait_, longest_wait)));
        timer.async_wait(std::move(*this));
      } catch (...) {
        // As for post().
      }
    }

    pending_operation* what_;
    int tries_ = 0;
    std::chrono::milliseconds wait_{1};
    std::unique_ptr<typename Canceller::timer> timer_;
  };

  // The callback comes when the operation has begun, so that nobody cancels it in the middle of
  // that; a stop that was requested meanwhile is told at once.
  template <class Begin>
  bool begin_in_task(task_frame& task, Begin&& what) {
    task_ = &task;
    if (task.stop_requested()) {
      stopped_before_ = true;
      return false;
    }
    task.note_context();
    const prim::stop_token* stop = nullptr;
    if constexpr (can_cancel) {
      stop = task.stop();
      can_be_stopped_ = stop != nullptr && stop->stop_possible();
      if (can_be_stopped_) canceller_.note_executor(what);
    }
    {
      Begin own(std::move(what));
      std::move(own)(handler(*this, initiation(nullptr)));
    }
    if constexpr (can_cancel) {
      if (can_be_stopped_ && is_under_way()) on_stop_.emplace(*stop, trip{*this});
    }
    if (who_is_left_.fetch_sub(beginner, prim::acq_rel) != beginner) return true;
    canceller_.forget_executor();
    return false;
  }

  bool is_under_way() const noexcept { return (who_is_left_.load(prim::acquire) & operation) != 0; }
  void cancel_soon() noexcept {
    unsigned left = who_is_left_.load(prim::relaxed);
    do {
      if ((left & operation) == 0) return;
    } while (!who_is_left_.compare_exchange_weak(left, left | canceller, prim::relaxed));
    cancellation c(*this);
    try {
      // The operation may have ended, and left the context without work. If it has not, it cannot
      // from here on, so that the function will be run.
      const auto work = boost::asio::make_work_guard(canceller_.executor());
      if (is_under_way()) c.post();
    } catch (...) {
      // It cannot be cancelled.
    }
  }
  void cancel() noexcept {
    try {
      canceller_.cancel();
    } catch (...) {
      // There is nothing to be cancelled, for the object has been closed.
    }
  }
  // The last that the caller does with this.
  void arrive(party who) noexcept {
    task_frame* const task = task_;
    if (who_is_left_.fetch_sub(who, prim::acq_rel) != who) return;
    canceller_.forget_executor();  // the context may be gone before the task has gone on
    task->go_on();
  }
  // A stop may still be on its way to here: the callback's end waits for it.
  void end_wait() {
    on_stop_.reset();
    const bool refused = task_->take_refusal();
    if (stopped_before_) throw cancelled("stopped before an operation of Asio's had begun");
    if (refused) task_frame::throw_refused();
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
  void resume(initiation& begun) {
    if (task_ != nullptr) return arrive(operation);
    if (begun.note_over()) return;
    const std::coroutine_handle<> waiting = waiting_;
    const context_scope inside(context_->get());
    const captured_context kept;  // the coroutine may end, and this with it
    waiting.resume();
  }

  template <class First = void, class...>
  static constexpr bool is_error =
      std::is_same_v<First, boost::system::error_code> || std::is_same_v<First, std::exception_ptr>;
  static constexpr bool fails_first = Throws && is_error<Values...>;

  void throw_error(const boost::system::error_code& code) const {
    if (!code) return;
    if (code == boost::asio::error::operation_aborted && task_ != nullptr &&
        task_->stop_requested()) {
      throw cancelled("stopped while an operation of Asio's was under way");
    }
    throw boost::system::system_error(code);
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
  // Of a task.
  prim::atomic<unsigned> who_is_left_{beginner | operation};
  bool stopped_before_ = false;
  bool can_be_stopped_ = false;
  [[no_unique_address]] Canceller canceller_;
  struct nothing {
    void reset() const noexcept {}
  };
  [[no_unique_address]] std::conditional_t<can_cancel, std::optional<prim::stop_callback<trip>>,
                                           nothing> on_stop_;

  std::optional<std::tuple<Values...>> values_;
  std::exception_ptr failure_;
};

template <bool Throws, class Canceller, class... Values>
class pending_operation<Throws, Canceller, Values...>::handler
    : public told_to_asio<Canceller, pending_operation<Throws, Canceller, Values...>::handler> {
 public:
  handler(pending_operation& for_whom, const initiation& begun)
      : pending_(&for_whom), begun_(begun) {}
  handler(handler&& other) noexcept
      : pending_(std::exchange(other.pending_, nullptr)), begun_(std::move(other.begun_)) {}
  handler& operator=(handler&&) = delete;
  ~handler() {
    if (pending_ == nullptr) return;
    pending_->drop();
    finish();
  }

  template <class... Args>
  void operator()(Args&&... args) {
    pending_->complete(std::forward<Args>(args)...);
    finish();
  }

  // One that belongs to nobody where nobody will stop the task.
  auto slot() const noexcept {
    auto of_signal = pending_->canceller_.slot();
    return pending_->can_be_stopped_ ? of_signal : decltype(of_signal)();
  }

 private:
  void finish() { std::exchange(pending_, nullptr)->resume(begun_); }

  pending_operation* pending_;
  initiation begun_;
};

// Begins an operation with a handler; Values are what the handler is called with.
template <class Begin, bool Throws, class Canceller, class... Values>
class [[nodiscard]] awaitable_operation {
  using cancels = typename Canceller::made_of;

 public:
  explicit awaitable_operation(Begin&& begin, const cancels& c)
      : begin_(std::move(begin)), cancels_(c) {}

  class awaiter {
   public:
    explicit awaiter(Begin&& begin, const cancels& c) : begin_(std::move(begin)), pending_(c) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
      return pending_.begin(waiting, std::move(begin_));
    }
    auto await_resume() { return pending_.take_result(); }

   private:
    Begin begin_;
    pending_operation<Throws, Canceller, Values...> pending_;
  };

  awaiter operator co_await() && { return awaiter(std::move(begin_), cancels_); }

 private:
  Begin begin_;
  [[no_unique_address]] cancels cancels_;
};

// An initiation, and what calls it with its arguments.
template <class Initiation, class Call>
struct beginning {
  Initiation initiation;
  Call call;

  template <class Handler>
  void operator()(Handler&& handler) && {
    call(std::move(initiation), std::forward<Handler>(handler));
  }
};

template <class Result>
struct operation_maker;
template <class Result, class... Args>
struct operation_maker<Result(Args...)> {
  template <bool Throws, class Canceller, class Initiation, class... InitArgs>
  static auto make(const typename Canceller::made_of& cancels, Initiation&& initiation,
                   InitArgs&&... args) {
    auto call = [... args = std::decay_t<InitArgs>(std::forward<InitArgs>(args))](
                    auto&& begins, auto&& handler) mutable {
      std::move(begins)(std::move(handler), std::move(args)...);
    };
    using begin = beginning<std::decay_t<Initiation>, decltype(call)>;
    return awaitable_operation<begin, Throws, Canceller, std::decay_t<Args>...>(
        begin{std::forward<Initiation>(initiation), std::move(call)}, cancels);
  }
};

}  // namespace detail
}  // namespace heddle::inline HEDDLE_ABI::asio

template <bool Throws, class Result, class... Args>
class boost::asio::async_result<heddle::asio::await_token<Throws>, Result(Args...)> {
  using maker = heddle::asio::detail::operation_maker<Result(Args...)>;

 public:
  template <class Initiation, class... InitArgs>
  static auto initiate(Initiation&& initiation, heddle::asio::await_token<Throws>,
                       InitArgs&&... args) {
    namespace detail = heddle::asio::detail;
#if __has_include(<boost/asio/cancellation_signal.hpp>)
    if constexpr (detail::names_executor<std::decay_t<Initiation>>) {
      using executor = typename std::decay_t<Initiation>::executor_type;
      return maker::template make<Throws, detail::slot_canceller<executor>>(
          nullptr, std::forward<Initiation>(initiation), std::forward<InitArgs>(args)...);
    } else
#endif
    {
      return maker::template make<Throws, detail::no_canceller>(
          nullptr, std::forward<Initiation>(initiation), std::forward<InitArgs>(args)...);
    }
  }
};

template <bool Throws, class Object, class Result, class... Args>
class boost::asio::async_result<heddle::asio::cancelling_token<Throws, Object>, Result(Args...)> {
 public:
  template <class Initiation, class... InitArgs>
  static auto initiate(Initiation&& initiation,
                       heddle::asio::cancelling_token<Throws, Object> token, InitArgs&&... args) {
    namespace detail = heddle::asio::detail;
    return detail::operation_maker<Result(Args...)>::template make<
        Throws, detail::object_canceller<Object>>(
        token.object, std::forward<Initiation>(initiation), std::forward<InitArgs>(args)...);
  }
};
