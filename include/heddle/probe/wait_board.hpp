// Where each waiting thread shows what it waits for, and which tasks it is in the middle of.
#pragma once

#include <cstdint>

#include <heddle/base/task_scope.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/wait_record.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

struct wait_slot;

// A wait as long as others can see it: one in each blocking_region. Regions nest, and the innermost
// is what the thread waits for. Costs some 20 nanoseconds; a thread for which there is no memory is
// not seen. Protocol: docs/protocols/wait_graph.md. In a model it is empty.
class HEDDLE_API published_wait {
 public:
  published_wait() = default;
  published_wait(const published_wait&) = delete;
  published_wait& operator=(const published_wait&) = delete;

#if HEDDLE_MODEL
  void begin(wait_record&) noexcept {}
  void end() noexcept {}
#else
  void begin(wait_record& record) noexcept;
  // After begin(). Waits for whoever is looking at the record.
  void end() noexcept;
#endif

 private:
  friend struct wait_slot;

  wait_slot* slot_ = nullptr;
  wait_record* record_ = nullptr;
  published_wait* outer_ = nullptr;
  const running_task* tasks_ = nullptr;
  std::uint64_t serial_ = 0;
};

// The calling thread becomes a worker, or is none any more: null. Nobody looks at the mark before
// or afterwards.
#if HEDDLE_MODEL
inline void show_worker(const worker_mark*) noexcept {}
#else
HEDDLE_API void show_worker(const worker_mark* mark) noexcept;
#endif

}  // namespace heddle::inline HEDDLE_ABI::detail
