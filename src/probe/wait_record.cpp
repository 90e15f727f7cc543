#include <heddle/probe/wait_record.hpp>

namespace heddle::inline HEDDLE_ABI {

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
  }
  return "something unknown";
}

}  // namespace heddle::inline HEDDLE_ABI
