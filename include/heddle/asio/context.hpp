// Asio's handlers on a Heddle executor.
#pragma once

#include <concepts>
#include <cstdint>
#include <mutex>
#include <type_traits>
#include <utility>

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <heddle/base/errors.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/condition_variable.hpp>

namespace heddle::inline HEDDLE_ABI::asio {

// An execution context like boost::asio::thread_pool, whose threads are those of a pool, or of any
// other executor, of Heddle:
//
//   heddle::thread_pool pool;
//   heddle::asio::context context(pool);
//   boost::asio::steady_timer timer(context.get_executor(), 100ms);
//   timer.async_wait([](auto) { ... });   // on a worker
//   context.join();
//
// Sockets, timers and other I/O objects work with its executor, also as any_io_executor, and with
// Asio's strands. A thread of Asio's own waits for their events, from the first such object on.
//
// An exception of a handler goes to the unhandled handler. A handler that was posted has the
// heddle::context_ref of who posted it, one of an operation has none.
// Requires: the executor outlives the context; the context outlives its I/O objects, and is
// destroyed by none of its handlers.
// Thread-safety: every member but the destructor from any thread.
// Destruction: as after stop(); operations that are under way are dropped, their handlers destroyed
// without a call. Blocks until handlers that run have returned.
class context : public boost::asio::execution_context {
 public:
  // Tracked: join() waits for it and its copies.
  template <bool Tracked>
  class basic_executor;
  using executor_type = basic_executor<false>;

  // Throws std::invalid_argument for a null reference.
  template <takes_jobs E>
    requires(!std::same_as<std::remove_cvref_t<E>, context>)
  explicit context(E&& where) : where_(heddle::detail::named_executor(where, "asio::context")) {}
  ~context() {
    stop();
    await_handlers();
    shutdown();
    await_handlers();  // those that Asio's thread has posted meanwhile
    destroy();
  }
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  executor_type get_executor() noexcept;

  // Waits until no handler is to be run, no operation of Asio's is under way, and nobody has an
  // executor that tracks work. Blocks. Throws would_starve.
  void join() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return unfinished_.load(prim::acquire) == 0; });
  }

  // Handlers that have not begun are destroyed instead of being called, from now on.
  void stop() noexcept { stopped_.store(true, prim::relaxed); }
  bool stopped() const noexcept { return stopped_.load(prim::relaxed); }

 private:
  // What is counted, in one word.
  enum class unit : std::uint64_t { handler = 1, work = std::uint64_t{1} << 32 };

  void begin(unit u) noexcept {
    unfinished_.fetch_add(static_cast<std::uint64_t>(u), prim::relaxed);
  }
  // The last one that somebody may wait for goes under the mutex: who waits may destroy the
  // context.
  void end(unit u) noexcept {
    const auto one = static_cast<std::uint64_t>(u);
    std::uint64_t before = unfinished_.load(prim::relaxed);
    while (!ends_a_wait(before - one, u)) {
      if (unfinished_.compare_exchange_weak(before, before - one, prim::release, prim::relaxed)) {
        return;
      }
    }
    const prim::scoped_lock lock(mutex_);
    unfinished_.fetch_sub(one, prim::release);
    changed_.notify_all();
  }
  static bool ends_a_wait(std::uint64_t left, unit u) noexcept {
    return left == 0 || (u == unit::handler && handlers_in(left) == 0);
  }
  static std::uint32_t handlers_in(std::uint64_t unfinished) noexcept {
    return static_cast<std::uint32_t>(unfinished);
  }

  void await_handlers() noexcept {
    const auto none = [this] { return handlers_in(unfinished_.load(prim::acquire)) == 0; };
    std::unique_lock lock(mutex_);
    // Not unannounced: handlers that have not begun may need this worker's share of the cores, so
    // it asks for a spare until there is one.
    for (;;) {
      try {
        return changed_.wait(lock, none);
      } catch (const would_starve&) {
        lock.unlock();
        prim::yield();
        lock.lock();
      }
    }
  }

  class counted_handler {
   public:
    explicit counted_handler(context& in) noexcept : in_(&in) { in.begin(unit::handler); }
    counted_handler(counted_handler&& other) noexcept : in_(std::exchange(other.in_, nullptr)) {}
    counted_handler& operator=(counted_handler&&) = delete;
    ~counted_handler() {
      if (in_ != nullptr) in_->end(unit::handler);
    }
    bool wanted() const noexcept { return !in_->stopped(); }

   private:
    context* in_;
  };

  template <class F>
  struct handler {
    counted_handler counted;  // until the function is gone
    F function;

    void operator()() {
      if (counted.wanted()) std::move(function)();
    }
  };

  template <class F>
  void post(F&& f) {
    using function = std::decay_t<F>;
    unique_task task(handler<function>{counted_handler(*this), std::forward<F>(f)});
    where_.post(task.release());
  }

  const executor_ref where_;
  prim::atomic<bool> stopped_{false};
  prim::atomic<std::uint64_t> unfinished_{0};
  prim::mutex mutex_;
  condition_variable changed_;
};

// Meets Asio's requirements of an executor. It never runs a function where it is given one
// (blocking.never): dispatch posts. Equal when the context is the same.
template <bool Tracked>
class context::basic_executor {
  using blocking_t = boost::asio::execution::blocking_t;
  using relationship_t = boost::asio::execution::relationship_t;
  using outstanding_work_t = boost::asio::execution::outstanding_work_t;

 public:
  explicit basic_executor(context& in) noexcept : context_(&in) { begin(); }
  basic_executor(const basic_executor& other) noexcept : context_(other.context_) { begin(); }
  basic_executor& operator=(const basic_executor& other) noexcept {
    basic_executor copy(other);
    std::swap(context_, copy.context_);
    return *this;
  }
  ~basic_executor() {
    if constexpr (Tracked) context_->end(unit::work);
  }

  // Throws std::bad_alloc, and what moving the function throws.
  template <class F>
  void execute(F&& f) const {
    context_->post(std::forward<F>(f));
  }

  // Properties.
  boost::asio::execution_context& query(boost::asio::execution::context_t) const noexcept {
    return *context_;
  }
  static constexpr blocking_t query(blocking_t) noexcept {
    return boost::asio::execution::blocking.never;
  }
  static constexpr relationship_t query(relationship_t) noexcept {
    return boost::asio::execution::relationship.fork;
  }
  static constexpr outstanding_work_t query(outstanding_work_t) noexcept {
    using boost::asio::execution::outstanding_work;
    if constexpr (Tracked) {
      return outstanding_work.tracked;
    } else {
      return outstanding_work.untracked;
    }
  }
  basic_executor require(blocking_t::never_t) const noexcept { return *this; }
  basic_executor require(relationship_t::fork_t) const noexcept { return *this; }
  basic_executor<true> require(outstanding_work_t::tracked_t) const noexcept {
    return basic_executor<true>(*context_);
  }
  basic_executor<false> require(outstanding_work_t::untracked_t) const noexcept {
    return basic_executor<false>(*context_);
  }

  template <bool Other>
  bool operator==(const basic_executor<Other>& other) const noexcept {
    return &query(boost::asio::execution::context) == &other.query(boost::asio::execution::context);
  }

 private:
  void begin() noexcept {
    if constexpr (Tracked) context_->begin(unit::work);
  }

  context* context_;
};

inline context::executor_type context::get_executor() noexcept { return executor_type(*this); }

}  // namespace heddle::inline HEDDLE_ABI::asio
