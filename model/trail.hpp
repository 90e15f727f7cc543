// A trail as text: "NAME:12-1.30-2" is the execution of the exploration NAME that takes alternative
// 1 at its choice 12, alternative 2 at its choice 30, and the usual thing, alternative 0,
// everywhere else.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

class engine;

using deviations = std::vector<std::pair<std::size_t, unsigned>>;

std::string trail_text(const engine& e);

// Throws std::invalid_argument for what is no trail.
std::string_view name_in_trail(std::string_view text);
deviations deviations_in_trail(std::string_view text);

}  // namespace heddle::inline HEDDLE_ABI::model::detail
