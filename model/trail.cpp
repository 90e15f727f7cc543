#include "trail.hpp"

#include <charconv>
#include <stdexcept>

#include "engine.hpp"

namespace heddle::inline HEDDLE_ABI::model::detail {

std::string trail_text(const engine& e) {
  std::string text = e.limits.name + ":";
  const char* separator = "";
  for (std::size_t i = 0; i < e.trail.size(); ++i) {
    if (e.trail[i].chosen == 0) continue;
    text.append(separator).append(std::to_string(i)).append("-");
    text.append(std::to_string(e.trail[i].chosen));
    separator = ".";
  }
  return text;
}

std::string_view name_in_trail(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    throw std::invalid_argument("no trail: \"" + std::string(text) + "\" has no colon");
  }
  return text.substr(0, colon);
}

deviations deviations_in_trail(std::string_view text) {
  const std::invalid_argument bad("no trail: \"" + std::string(text) + "\"");
  deviations found;
  const char* at = text.data() + name_in_trail(text).size() + 1;
  const char* const end = text.data() + text.size();
  while (at != end) {
    std::size_t index = 0;
    unsigned alternative = 0;
    auto read = std::from_chars(at, end, index);
    if (read.ec != std::errc() || read.ptr == end || *read.ptr != '-') throw bad;
    read = std::from_chars(read.ptr + 1, end, alternative);
    if (read.ec != std::errc() || (read.ptr != end && *read.ptr != '.')) throw bad;
    if (read.ptr != end && read.ptr + 1 == end) throw bad;
    if (!found.empty() && found.back().first >= index) throw bad;
    found.emplace_back(index, alternative);
    at = read.ptr == end ? end : read.ptr + 1;
  }
  return found;
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
