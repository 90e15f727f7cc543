// What the modelled primitives ask of the checker. Users need <heddle/model.hpp>.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string_view>
#include <type_traits>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

using where = std::source_location;

// True while an execution runs, on the one thread that runs it. Outside of executions (static
// initialization, the test around the model) modelled objects behave as plain ones.
HEDDLE_API extern bool executing;

// How a modelled object finds its record. Zero: it was made outside of executions; then it gets a
// record, with its first value, at its first use in each execution.
struct handle {
  std::uint32_t execution = 0;
  std::uint32_t index = 0;
};

enum class object_kind : std::uint8_t {
  atomic,
  cell,
  mutex,
  shared_mutex,
  condition_variable,
  parker,
  reference_count,
};

// Birth and death of an object. Death counts as a write of the whole object.
HEDDLE_API void construct(handle& h, object_kind kind, const void* address,
                          std::uint64_t value = 0) noexcept;
HEDDLE_API void destroy(handle& h, object_kind kind, const void* address) noexcept;

// Atomics. `first` is the value that an object made outside has at the start of an execution.
using modify = std::uint64_t (*)(std::uint64_t old, std::uint64_t argument);
HEDDLE_API std::uint64_t load(handle& h, const void* a, std::uint64_t first,
                              std::memory_order order, where w) noexcept;
HEDDLE_API void store(handle& h, const void* a, std::uint64_t first, std::uint64_t value,
                      std::memory_order order, where w) noexcept;
HEDDLE_API std::uint64_t read_modify_write(handle& h, const void* a, std::uint64_t first, modify f,
                                           std::uint64_t argument, std::memory_order order,
                                           where w) noexcept;
HEDDLE_API bool compare_exchange(handle& h, const void* a, std::uint64_t first,
                                 std::uint64_t& expected, std::uint64_t desired,
                                 std::memory_order success, std::memory_order failure, bool weak,
                                 where w) noexcept;
HEDDLE_API void fence(std::memory_order order, where w) noexcept;

// Plain memory.
HEDDLE_API void read_cell(handle& h, const void* address, where w) noexcept;
HEDDLE_API void write_cell(handle& h, const void* address, where w) noexcept;

// Locks. An exclusive lock of a shared mutex is a lock.
HEDDLE_API void lock(handle& h, object_kind kind, const void* address, where w) noexcept;
HEDDLE_API bool try_lock(handle& h, object_kind kind, const void* address, where w) noexcept;
HEDDLE_API void unlock(handle& h, object_kind kind, const void* address, where w) noexcept;
HEDDLE_API void lock_shared(handle& h, const void* address, where w) noexcept;
HEDDLE_API bool try_lock_shared(handle& h, const void* address, where w) noexcept;
HEDDLE_API void unlock_shared(handle& h, const void* address, where w) noexcept;

// Times are nanoseconds of the virtual clock.
inline constexpr std::int64_t no_deadline = INT64_MAX;
HEDDLE_API std::int64_t clock_now() noexcept;
HEDDLE_API bool park(handle& h, const void* address, std::int64_t deadline, where w) noexcept;
HEDDLE_API void unpark(handle& h, const void* address, where w) noexcept;
HEDDLE_API bool wait(handle& h, const void* address, handle& mutex, const void* mutex_address,
                     std::int64_t deadline, where w) noexcept;
HEDDLE_API void notify(handle& h, const void* address, bool all, where w) noexcept;

// An owner less; whoever destroys the object knows what all owners did. No choice point.
HEDDLE_API void give_up_reference(handle& h, const void* address) noexcept;

// Threads, by number. The callable is constructed in memory that belongs to the new thread.
using thread_entry = void (*)(void* callable);
inline constexpr std::size_t callable_room = 512;
HEDDLE_API unsigned prepare_thread(where w);
HEDDLE_API void* callable_memory(unsigned thread) noexcept;
HEDDLE_API void start_thread(unsigned thread, thread_entry entry) noexcept;
HEDDLE_API void forget_thread(unsigned thread) noexcept;  // it was never started
HEDDLE_API void join_thread(unsigned thread, where w);
HEDDLE_API void detach_thread(unsigned thread) noexcept;
HEDDLE_API unsigned current_thread() noexcept;
HEDDLE_API void yield(where w) noexcept;

// Ends the execution as failed; for errors in the use of modelled objects.
[[noreturn]] HEDDLE_API void misuse(std::string_view message, where w = where::current()) noexcept;

template <class T>
std::uint64_t bits_of(const T& value) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T value_of(std::uint64_t bits) noexcept {
  std::remove_cv_t<T> value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
