// Who is compared: sizes that stay, and laws that change them.
#pragma once

#include <cstddef>
#include <heddle/exec/pool_options.hpp>
#include <heddle/sizing/law.hpp>
#include <string>
#include <vector>

namespace bench {

// What a law has answered, and what it was told.
struct recorded_choice {
  double at = 0;  // seconds since the pool began
  int before = 0;
  heddle::sizing::choice answer;
  heddle::sizing::window signals;
};

struct record {
  std::vector<recorded_choice> changes;  // the first size, and each change
  std::size_t windows = 0;
};

// Options of a pool that follows one of: fixed:N; cores, 2xcores, min32 (the smaller of 32 and
// cores
// + 4); adaptive; dotnet, gradient2, aimd. Throws std::invalid_argument for another name.
heddle::thread_pool_options options_of(const std::string& contender);

// What the law of this process's only pool has answered so far. Empty for sizes that stay.
record recorded();

}  // namespace bench
