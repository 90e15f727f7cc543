// One exploration: the state of the execution that runs, and the choices that make it.
//
// Everything runs on one thread of the system. A modelled thread is a fiber; before each operation
// it calls step(), which may continue another one. The choices of an execution are its trail; the
// same trail brings the same execution.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/model/runtime.hpp>
#include <heddle/prim/thread_local.hpp>

#include "clocks.hpp"
#include "fiber.hpp"

namespace heddle::inline HEDDLE_ABI::model::detail {

struct block_header;

// A store to an atomic. An atomic's stores form its modification order, a list.
struct store_record {
  lanes seen;     // by whom it was written or first read, and when
  view released;  // what an acquiring reader learns
  std::uint64_t value = 0;
  store_record* before = nullptr;
  store_record* after = nullptr;
  // Number of the first seq_cst access that wrote or read it; 0: none.
  std::uint32_t sequential = 0;
  bool releases = false;
  bool modifies = false;  // by a read-modify-write: nothing goes between it and the one before
};

struct object_record {
  lanes accessed{};  // each thread's last access
  view handed_on;    // what the next holder of a lock learns, the taker of a token
  lanes readers{};   // shared_mutex: not zero for those who hold it
  const void* address = nullptr;
  store_record* newest = nullptr;  // of an atomic; its `released` is what readers of a lock hand on
  where last_access{};
  where last_write{};  // of a cell
  object_kind kind = object_kind::atomic;
  bool dead = false;
  bool made_here = false;  // in this execution, by a constructor
  bool token = false;
  epoch born = 0;
  epoch written = 0;  // cell: the last write; lock: the last unlock
  std::uint8_t born_in = 0;
  std::uint8_t written_in = 0;
  std::int8_t owner = -1;  // of a lock
  std::uint8_t last_thread = 0;
};

struct thread_record {
  enum class status : std::uint8_t { prepared, alive, finished };
  enum class waits : std::uint8_t { nothing, lock, token, notification, thread_end };

  view now;
  view acquired;  // what an acquire fence would learn from relaxed loads
  view released;  // at the last release fence
  bool has_acquired = false;
  bool has_released = false;
  status state = status::prepared;
  waits waiting = waits::nothing;
  bool timed_out = false;
  bool notified = false;
  std::uint32_t waits_for_step_of = 0;  // after a yield
  std::uint32_t waited_object = 0;      // or thread
  std::int64_t deadline = no_deadline;
  where last{};  // operation
  void* values[static_cast<unsigned>(prim::thread_slot::count)] = {};
  prim::thread_exit_hook* exit_hooks = nullptr;
  thread_entry entry = nullptr;
};

// What never changes hands between executions.
struct thread_place {
  detail::fiber fiber;
  bool ready = false;  // its loop waits for the next thread
  alignas(64) std::byte callable[callable_room];
};

enum class choice_kind : std::uint8_t { thread, store, place, failure, timeout, waiter, user };

struct choice {
  choice_kind kind;
  std::uint8_t options;  // there were
  std::uint8_t allowed;  // by the bounds, the first ones
  std::uint8_t chosen;
};

// Memory that an execution uses from the start, as much as it needs.
template <class T>
class arena {
 public:
  explicit arena(std::size_t capacity)
      : memory_(static_cast<T*>(::operator new(capacity * sizeof(T), std::align_val_t{64}))),
        capacity_(capacity) {}
  ~arena() { ::operator delete(memory_, std::align_val_t{64}); }
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;

  bool full() const noexcept { return size_ == capacity_; }
  std::size_t size() const noexcept { return size_; }
  T& add() noexcept { return *::new (static_cast<void*>(memory_ + size_++)) T; }
  T& operator[](std::size_t i) noexcept { return memory_[i]; }
  void clear() noexcept { size_ = 0; }

 private:
  T* memory_;
  std::size_t capacity_;
  std::size_t size_ = 0;
};

class engine {
 public:
  explicit engine(const options& o, const std::function<void()>& body);
  ~engine();

  // Runs one execution along the trail, whose rest is chosen as it goes. False when it failed.
  bool run();

  // The trail as it ran, and what to follow in the next run.
  std::vector<choice> trail;
  std::size_t follow = 0;  // so many of its choices are given
  unsigned preemption_bound = 0;
  bool preemption_refused = false;  // for that bound, since this was last cleared
  const std::vector<std::pair<std::size_t, unsigned>>* replay = nullptr;  // index, alternative
  bool randomly = false;
  bool by_priority = false;
  bool logging = false;
  std::uint64_t random_state = 1;

  std::string message;
  std::string log_text;
  std::uint64_t steps = 0;
  unsigned switches_expected = 1;  // pct: the longest execution so far

  // Grows with every operation; the watchdog looks at it.
  std::atomic<std::uint64_t> heartbeat{0};

  // For the operations.

  // Before each operation of the running thread; others may run first. They need no second chance
  // when this thread has done nothing since it was chosen.
  void step(where w) {
    begin_operation(w);
    if ((enabled & ~(1u << self)) != 0 && !just_chosen_) hand_over(true);
    if (yielders != 0) forgive_yielders();
  }
  // The same for an operation that commutes with all that others could do before it.
  void step_alone(where w) {
    begin_operation(w);
    if (yielders != 0) forgive_yielders();
  }
  // The running thread cannot go on until wake(). `object` is for reports.
  void block(thread_record::waits reason, std::uint32_t object,
             std::int64_t deadline = no_deadline);
  void wake(unsigned thread) noexcept;
  void wake_waiting(thread_record::waits reason, std::uint32_t object) noexcept;
  void yield(where w);
  // Moves the clock on, and ends the waits whose deadline it reaches.
  void pass_time(std::int64_t until) noexcept;
  // Lets anybody go on, this thread among them.
  void hand_over(bool prefer_self);
  unsigned choose(choice_kind kind, unsigned options, unsigned allowed) {
    return options <= 1 ? 0 : choose_among(kind, options, allowed);
  }
  // A choice of two, of which the second is bounded.
  bool happens(choice_kind kind, unsigned& credit) {
    if (choose(kind, 2, credit != 0 ? 2 : 1) == 0) return false;
    --credit;
    return true;
  }

  object_record& object(handle& h, object_kind kind, const void* address, std::uint64_t first,
                        where w);
  object_record& make_object(handle& h, object_kind kind, const void* address);
  store_record& make_store();
  void end_object(object_record& o);
  // Freed memory takes its objects with it: atomics are seldom destroyed by hand.
  void destroy_all_within(const void* memory, std::size_t bytes);
  void touch(object_record& o, where w) noexcept {
    o.accessed[self] = threads[self].now.happened[self];
    o.last_access = w;
    o.last_thread = static_cast<std::uint8_t>(self);
  }
  // Ends the running thread's operation: what it does next is a later event.
  void end_operation() noexcept {
    thread_record& t = threads[self];
    const auto next = static_cast<epoch>(t.now.happened[self] + 1);
    if (next == never_happened) too_long();
    t.now.happened[self] = next;
    t.now.coherent[self] = next;
    just_chosen_ = false;
  }

  [[noreturn]] void fail(std::string text) noexcept;
  [[noreturn]] void fail_at(std::string text, where w) noexcept;
  [[noreturn]] void too_long() noexcept;
  void log(const std::string& line);
  std::string name_of(const object_record& o);

  unsigned prepare_thread(where w);
  void start_thread(unsigned thread, thread_entry entry) noexcept;
  void forget_thread(unsigned thread) noexcept;
  void end_thread() noexcept;
  void thread_main() noexcept;

  // Memory to be given to std::free when the execution has ended.
  void keep_until_end(void* memory) { kept_.push_back(memory); }

  const options& limits;
  struct {
    unsigned preemptions, stale_reads, spurious_failures, timeouts, allocation_failures;
  } left{};

  std::uint32_t execution = 0;
  unsigned self = 0;
  unsigned thread_count = 0;
  unsigned alive = 0;
  std::uint32_t enabled = 0;   // threads that can run, as bits
  std::uint32_t yielders = 0;  // of them, those that let others go first
  std::int64_t time = 0;
  lanes fences{};                // what happened before seq_cst fences so far
  std::uint32_t sequential = 0;  // seq_cst accesses so far
  // The same of light and of heavy fences, and the accesses before the last heavy one.
  lanes light_fences{};
  lanes heavy_fences{};
  std::uint32_t sequential_at_heavy = 0;
  std::uint64_t seeds = 0;
  std::array<thread_record, max_threads> threads;
  std::array<thread_place, max_threads> places;
  arena<object_record> objects;
  arena<store_record> stores;
  // Allocated through the seam and not yet freed, newest first.
  block_header* blocks = nullptr;

 private:
  void begin_operation(where w) {
    threads[self].last = w;
    if (++steps > limits.steps) too_long();
    beat();
  }
  void reset();
  void beat() noexcept {
    heartbeat.store(heartbeat.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void forgive_yielders() noexcept;
  void switch_to(unsigned next) noexcept;
  bool end_earliest_wait() noexcept;
  [[noreturn]] void deadlock() noexcept;
  unsigned choose_among(choice_kind kind, unsigned options, unsigned allowed);
  unsigned pick_randomly(choice_kind kind, unsigned options, unsigned allowed) noexcept;
  unsigned pick_by_priority(const std::uint8_t* list, unsigned count) noexcept;
  std::uint32_t random() noexcept;
  void find_leaks();
  void release_kept() noexcept;
  [[noreturn]] void abandon() noexcept;

  const std::function<void()>& body_;
  fiber outside_;
  std::vector<void*> kept_;
  bool failed_ = false;
  bool just_chosen_ = false;  // the running thread has made no operation since
  std::size_t next_choice_ = 0;
  std::size_t next_alternative_ = 0;          // of the replay
  const std::uint8_t* candidates_ = nullptr;  // of the thread choice under way
  std::array<std::uint32_t, max_threads> priorities_{};
  std::array<std::uint64_t, 16> change_points_{};
  std::uint32_t lowest_ = 0;
};

// " (file:line)"
std::string at_text(where w);

// The exploration under way.
extern engine* current;

}  // namespace heddle::inline HEDDLE_ABI::model::detail
