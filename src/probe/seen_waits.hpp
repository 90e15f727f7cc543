// What others see of the threads that wait, and of who uses semaphores and queues.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/wait_record.hpp>

#if !HEDDLE_MODEL

namespace heddle::inline HEDDLE_ABI::detail {

// What was seen of one wait, at one moment.
struct seen_wait {
  static constexpr std::size_t most_tasks = 12;
  static constexpr std::size_t most_alternatives = 16;
  struct task {
    const char* name;  // a literal
    const void* fulfils;
  };
  using short_text = std::array<char, 64>;  // what is longer is cut

  std::uint32_t thread = 0;  // prim::thread_number
  int kernel_thread_id = 0;
  std::uint64_t serial = 0;  // of this thread's waits
  wait_kind kind{};
  const void* object = nullptr;
  short_text name{};
  prim::time_point since{};
  bool ends_by_itself = false;  // it has a deadline, or can be stopped
  bool over = false;
  bool nested = false;  // inside another wait
  bool interruptible = false;
  bool has_owner = false;  // the object is one that can have an owner, who is:
  std::uint32_t owner = 0;
  const lock_probe* rescuers = nullptr;  // whose users were noted
  std::uint64_t units = 0;
  std::uint64_t acquisitions = 0;  // of the object, as far as recorded
  bool is_choice = false;          // one of these ends it
  std::size_t alternative_count = 0;
  std::array<const void*, most_alternatives> alternatives{};

  std::size_t task_count = 0;  // innermost first; those beyond the most are left out
  std::array<task, most_tasks> tasks{};
  const void* executor = nullptr;  // what happens when the pool has no more work; null: no worker
  short_text executor_name{};
};

struct seen_thread {
  std::uint32_t number;
  int kernel_thread_id;
  bool is_worker;
  std::uint8_t level;  // of a worker's task: see worker_level
};

// A thread that took or gave units of an object.
struct seen_use {
  const lock_probe* object;
  std::uint32_t thread;
  std::int64_t held;  // taken less given
  bool took;
  bool gave;
};

// The waits of the process, each by itself seen at one moment. Throws std::bad_alloc.
std::vector<seen_wait> waits_of_all_threads();
// The living threads that have waited, are noted as users, or are workers. Throws std::bad_alloc.
std::vector<seen_thread> threads_on_the_board();
// Who used these; objects used by somebody who cannot be named any more are left out. Only compares
// the addresses, unless the object lives. Throws std::bad_alloc.
std::vector<seen_use> uses_of(std::span<const lock_probe* const> objects);
// Ends that very wait, if it is still there and may be interrupted; else returns false. Takes over
// the text only if true.
bool interrupt_wait(std::uint32_t thread, std::uint64_t serial, char* verdict) noexcept;

// By the calling thread; for lock_probe. The object lives.
void note_use(lock_probe& object, std::int64_t taken) noexcept;
// The object ends: nobody has used it.
void forget_uses_of(const lock_probe& object) noexcept;
// Noting begins anew.
void forget_all_uses() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail

#endif
