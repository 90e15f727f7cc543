#include <heddle/base/errors.hpp>
#include <heddle/probe/wait_record.hpp>

#include <cstdlib>
#include <memory>
#include <utility>

namespace heddle::inline HEDDLE_ABI {

void throw_verdict(wait_record& record) {
  const std::unique_ptr<char, void (*)(void*)> text(std::exchange(record.verdict, nullptr),
                                                    &std::free);
  throw deadlock_error(text.get());
}

const char* describe(wait_kind kind) noexcept {
  switch (kind) {
    case wait_kind::future:
      return "a future";
    case wait_kind::several:
      return "several futures";
    case wait_kind::mutex:
      return "a mutex";
    case wait_kind::event:
      return "an event";
    case wait_kind::shutdown:
      return "a shutdown";
    case wait_kind::external:
      return "a blocking call";
    case wait_kind::rw_lock:
      return "a reader-writer lock";
    case wait_kind::condition:
      return "a condition variable";
    case wait_kind::semaphore:
      return "a semaphore";
    case wait_kind::barrier:
      return "a barrier";
    case wait_kind::latch:
      return "a latch";
    case wait_kind::lazy:
      return "a lazy value";
    case wait_kind::full_queue:
      return "room in a queue";
    case wait_kind::empty_queue:
      return "an item of a queue";
    case wait_kind::join:
      return "the end of other work";
  }
  return "something unknown";
}

}  // namespace heddle::inline HEDDLE_ABI
