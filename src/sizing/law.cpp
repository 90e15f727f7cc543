#include <heddle/sizing/law.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

law::~law() = default;

std::string_view to_string(cause why) noexcept {
  switch (why) {
    case cause::nothing_new:
      return "nothing new";
    case cause::start:
      return "start";
    case cause::idle_cores:
      return "idle cores";
    case cause::crowded_cores:
      return "crowded cores";
    case cause::saturation:
      return "saturation";
    case cause::trial:
      return "trial";
    case cause::trial_paid:
      return "trial paid";
    case cause::trial_failed:
      return "trial failed";
    case cause::new_load:
      return "new load";
    case cause::core_count:
      return "core count";
    case cause::bounds:
      return "bounds";
  }
  return "unknown";
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
