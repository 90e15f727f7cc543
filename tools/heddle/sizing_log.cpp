#include "sizing_log.hpp"

#include <utility>

namespace heddle::tool {

void sizing_log::add(sizing::logged_choice choice) {
  ++choices;
  if (first.size() < most_kept) {
    first.push_back(std::move(choice));
    return;
  }
  if (last.size() == most_kept) last.pop_front();
  last.push_back(std::move(choice));
}

double sizing_log::share_of_cores(std::chrono::nanoseconds run) const noexcept {
  return run.count() <= 0
             ? 0
             : static_cast<double>(cost.count()) / (static_cast<double>(run.count()) * cores);
}

}  // namespace heddle::tool
