#include <heddle/sync/recursive_mutex.hpp>

#include <system_error>

namespace heddle::inline HEDDLE_ABI {

void recursive_mutex::too_deep() {
  throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                          "recursive_mutex: locked as often as can be counted");
}

}  // namespace heddle::inline HEDDLE_ABI
