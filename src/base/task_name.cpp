#include <heddle/base/task_name.hpp>

namespace heddle::inline HEDDLE_ABI {

std::string_view readable_task_name(const char* name) noexcept {
  std::string_view text = name == nullptr ? "" : name;
  if (text.find("type_description") == std::string_view::npos) return text;
  const auto start = text.find("F = ");
  if (start == std::string_view::npos) return text;
  text.remove_prefix(start + 4);
  if (!text.empty() && text.back() == ']') text.remove_suffix(1);
  return text;
}

}  // namespace heddle::inline HEDDLE_ABI
