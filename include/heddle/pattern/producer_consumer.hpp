// Producers and consumers around a bounded queue, started, ended and reported together.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/lock_statistics.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/sync/latch.hpp>

namespace heddle::inline HEDDLE_ABI {

struct producer_consumer_options {
  std::string name = "items";  // of the queue in reports, and in the names of threads
  unsigned producers = 1;
  unsigned consumers = 1;
  std::size_t capacity = 1024;                     // items that wait
  prim::stop_token stop;                           // ends the producing, as request_stop() does
  lock_recording recording = lock_recording::off;  // of the waits for room and for items
};

enum class producer_consumer_side : std::uint8_t { producer, consumer };

// A producer or a consumer has thrown; what it threw is nested (std::rethrow_if_nested).
class HEDDLE_API producer_consumer_error : public error, public std::nested_exception {
 public:
  // Nests the exception that is being handled.
  producer_consumer_error(const std::string& name, producer_consumer_side side, unsigned index);
  producer_consumer_error(const producer_consumer_error&) = default;
  producer_consumer_error& operator=(const producer_consumer_error&) = default;
  ~producer_consumer_error() override;

  producer_consumer_side side() const noexcept { return side_; }
  // Which one, from 0.
  unsigned index() const noexcept { return index_; }

 private:
  producer_consumer_side side_;
  unsigned index_;
};

// While it runs consumed + failed <= produced; at the end these and `discarded` add up.
struct producer_consumer_report {
  std::uint64_t produced = 0;   // items that were accepted
  std::uint64_t consumed = 0;   // items that a consumer has returned from
  std::uint64_t failed = 0;     // items that a consumer threw at
  std::uint64_t discarded = 0;  // items that were left when all had ended
  unsigned producers = 0;       // that have not ended
  unsigned consumers = 0;
  unsigned errors = 0;  // producers and consumers that threw
  std::size_t capacity = 0;
  std::size_t peak = 0;  // the most items that waited
  lock_statistics puts;  // and their waits for room: empty unless recorded
  lock_statistics gets;
};

// What a producer puts its items into.
template <class T>
class item_sink {
 public:
  item_sink(bounded_queue<T>& queue, unsigned index, prim::stop_token stop)
      : queue_(queue), index_(index), stop_(std::move(stop)) {}
  item_sink(const item_sink&) = delete;
  item_sink& operator=(const item_sink&) = delete;

  // Waits for room. False when it is over: a stop was requested, or nobody takes items any more;
  // then the item was not put, and the producer is to return. Throws as bounded_queue::put.
  template <class U = T>
    requires std::convertible_to<U, T>
  [[nodiscard]] bool put(U&& item) {
    return queue_.put(std::forward<U>(item));
  }
  // The same for `count` items from *first on; returns how many were put.
  template <std::input_iterator Iterator>
  [[nodiscard]] std::size_t put_n(Iterator first, std::size_t count) {
    return queue_.put_n(first, count);
  }

  // Which producer this is, from 0.
  unsigned index() const noexcept { return index_; }
  // Tripped when it is over, for producers that wait for something else.
  const prim::stop_token& stop() const noexcept { return stop_; }

 private:
  bounded_queue<T>& queue_;
  const unsigned index_;
  const prim::stop_token stop_;
};

namespace detail {

// Who runs, how it ends and who failed: all that does not depend on the items.
class HEDDLE_API production {
 public:
  using side = producer_consumer_side;

  production(const production&) = delete;
  production& operator=(const production&) = delete;

  bool request_stop() noexcept;
  bool finished() const noexcept { return ended_.try_wait(); }
  bool wait_until(prim::time_point deadline, const prim::stop_token& stop) {
    return ended_.wait_until(deadline, stop);
  }
  void wait_and_rethrow();

 protected:
  // One producer or consumer, until it has ended in whatever way.
  class HEDDLE_API part {
   public:
    part(production& owner, side s, unsigned index) noexcept
        : owner_(&owner), side_(s), index_(index) {}
    part(part&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          side_(other.side_),
          index_(other.index_),
          began_(other.began_) {}
    part& operator=(part&&) = delete;
    ~part();

    template <class F>
    void run(F&& f) noexcept {
      began_ = true;
      try {
        std::forward<F>(f)(index_);
      } catch (...) {
        owner_->has_failed(side_, index_, std::current_exception());
      }
    }

   private:
    production* owner_;
    side side_;
    unsigned index_;
    bool began_ = false;
  };

  explicit production(const producer_consumer_options& options);
  ~production();

  // Runs the parts on the executor, or on threads of their own. Throws std::system_error when a
  // thread cannot be started; parts that do not run then end.
  void start(executor_ref where, std::vector<unique_task> parts, const prim::stop_token& stop);
  // Ends everything, waits for it, and reports what nobody has read.
  void finish() noexcept;

  virtual void close_queue() noexcept = 0;

  prim::stop_token stop_of_producers() const noexcept { return stop_.get_token(); }
  unsigned running(side s) const noexcept { return on(s).load(prim::acquire); }
  unsigned errors() const noexcept;

 private:
  struct stopping {
    production* self;
    void operator()() const noexcept { self->request_stop(); }
  };

  static std::ptrdiff_t checked(const producer_consumer_options& options);
  const prim::atomic<unsigned>& on(side s) const noexcept {
    return running_[static_cast<std::size_t>(s)];
  }
  void has_failed(side s, unsigned index, std::exception_ptr what) noexcept;
  void has_ended(side s) noexcept;

  const std::string name_;
  bool on_executor_ = false;
  std::array<prim::atomic<unsigned>, 2> running_;
  latch ended_;
  prim::stop_source stop_;
  std::optional<prim::stop_callback<stopping>> outside_;
  std::vector<prim::thread> threads_;
  mutable std::mutex mutex_;
  unsigned errors_ = 0;
  bool read_ = false;  // somebody was told of the first error
  std::exception_ptr first_;
};

}  // namespace detail

// Runs `producers` times produce(item_sink<T>&) and `consumers` loops that call consume(T) for item
// after item, from construction on: on threads of their own, or on an executor. The callables are
// called by several threads at once where there are several producers or consumers. A consume that
// takes (T, unsigned) is also told which consumer calls, from 0.
//
//   heddle::producer_consumer<page> work({.producers = 2, .consumers = 4},
//       [&](heddle::item_sink<page>& pages) { while (more() && pages.put(next())) {} },
//       [&](page p) { index(p); });
//   work.wait();
//
// How it ends: when all producers have returned, consumers take what is left, and end. A stop, by
// request_stop() or the options' token, and likewise a producer or consumer that throws, ends the
// producing: sinks say false, and consumers take what was accepted before. A consumer that throws
// takes no more; when none is left the rest is destroyed, and counted.
//
// Errors: the first one is thrown by wait(). Each further one goes to the unhandled handler, and so
// does the first when nobody has called wait(). An executor that discards a part of the work is an
// error of that part, `cancelled`.
// Requires: T is an item for bounded_queue. An executor lets another job run while one waits, as a
// thread_pool does by spare workers; an inline_executor or a strand does not.
// Thread-safety: everything by any thread, except destruction.
// Memory ordering: what producers and consumers did happened before the return of wait().
// Blocks? The constructor and request_stop() do not; waits as all of Heddle's.
// Destruction: requests a stop and waits until all has ended, consumers having taken what was
// accepted. Not from a producer or consumer.
template <class T>
class producer_consumer final : private detail::production {
  template <class F>
  static constexpr bool consumes = std::invocable<F&, T> || std::invocable<F&, T, unsigned>;

 public:
  // Throws std::invalid_argument for 0 producers, consumers or capacity, and for a null callable or
  // executor; std::bad_alloc; std::system_error when a thread cannot be started: nothing runs then.
  template <class Produce, class Consume>
    requires std::invocable<Produce&, item_sink<T>&> && consumes<Consume>
  producer_consumer(const producer_consumer_options& options, Produce produce, Consume consume)
      : producer_consumer(options, executor_ref{}, std::move(produce), std::move(consume), 0) {}
  template <takes_jobs E, class Produce, class Consume>
    requires std::invocable<Produce&, item_sink<T>&> && consumes<Consume>
  producer_consumer(const producer_consumer_options& options, E&& where, Produce produce,
                    Consume consume)
      : producer_consumer(options, detail::named_executor(where, "producer_consumer"),
                          std::move(produce), std::move(consume), 0) {}
  ~producer_consumer() { finish(); }

  // False when one was requested before.
  bool request_stop() noexcept { return production::request_stop(); }
  // Whether all producers and consumers have ended.
  bool finished() const noexcept { return production::finished(); }

  // Waits for the end. Throws producer_consumer_error when a producer or consumer threw, each time
  // it is called.
  producer_consumer_report wait() {
    production::wait_and_rethrow();
    return report();
  }
  // False when the deadline passed, or a stop of the waiting was requested, first. Throws no error
  // of producers and consumers: wait() tells.
  [[nodiscard]] bool wait_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return production::wait_until(deadline, stop);
  }
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> timeout,
                              const prim::stop_token& stop = {}) {
    return wait_until(prim::deadline_after(timeout), stop);
  }

  // Throws std::bad_alloc.
  producer_consumer_report report() const;

 private:
  struct alignas(cache_line) counters {
    prim::atomic<std::uint64_t> consumed{0};  // written by one consumer
    prim::atomic<std::uint64_t> failed{0};
  };

  template <class Produce, class Consume>
  producer_consumer(const producer_consumer_options& options, executor_ref where, Produce produce,
                    Consume consume, int);

  void close_queue() noexcept override { queue_.close(); }

  template <class Consume>
  void consume_all(Consume& consume, unsigned index) {
    counters& mine = counters_[index];
    while (std::optional<T> item = queue_.get()) {
      try {
        if constexpr (std::invocable<Consume&, T, unsigned>) {
          consume(std::move(*item), index);
        } else {
          consume(std::move(*item));
        }
      } catch (...) {
        mine.failed.store(1, prim::release);
        throw;
      }
      mine.consumed.store(mine.consumed.load(prim::relaxed) + 1, prim::release);
    }
  }

  bounded_queue<T> queue_;
  std::vector<counters> counters_;
  std::shared_ptr<void> produce_;
  std::shared_ptr<void> consume_;
};

template <class T>
template <class Produce, class Consume>
producer_consumer<T>::producer_consumer(const producer_consumer_options& options,
                                        executor_ref where, Produce produce, Consume consume, int)
    : production(options), queue_(options.capacity, options.name), counters_(options.consumers) {
  detail::require_callable(produce, "producer_consumer");
  detail::require_callable(consume, "producer_consumer");
  if (options.recording != lock_recording::off) queue_.record(options.recording);
  auto producing = std::make_shared<Produce>(std::move(produce));
  auto consuming = std::make_shared<Consume>(std::move(consume));
  produce_ = producing;
  consume_ = consuming;
  std::vector<unique_task> parts;
  for (unsigned i = 0; i < options.consumers; ++i) {
    parts.emplace_back([this, f = consuming.get(), p = part(*this, side::consumer, i)]() mutable {
      p.run([&](unsigned index) { consume_all(*f, index); });
    });
  }
  for (unsigned i = 0; i < options.producers; ++i) {
    parts.emplace_back([this, f = producing.get(), p = part(*this, side::producer, i)]() mutable {
      p.run([&](unsigned index) {
        item_sink<T> sink(queue_, index, stop_of_producers());
        (*f)(sink);
      });
    });
  }
  try {
    start(where, std::move(parts), options.stop);
  } catch (...) {
    finish();
    throw;
  }
}

template <class T>
producer_consumer_report producer_consumer<T>::report() const {
  producer_consumer_report r;
  const bool over = finished();
  for (const counters& c : counters_) {
    r.consumed += c.consumed.load(prim::acquire);
    r.failed += c.failed.load(prim::acquire);
  }
  r.produced = queue_.total_put();
  if (over) r.discarded = r.produced - r.consumed - r.failed;
  r.producers = running(side::producer);
  r.consumers = running(side::consumer);
  r.errors = errors();
  r.capacity = queue_.capacity();
  r.peak = queue_.peak();
  r.puts = queue_.put_statistics();
  r.gets = queue_.get_statistics();
  return r;
}

}  // namespace heddle::inline HEDDLE_ABI
