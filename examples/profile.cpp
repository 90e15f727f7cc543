// How many threads suit a function: it is run on pools of several sizes, and a size recommended.
#include <heddle/exec/profile.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>

using namespace std::chrono_literals;

// As if a server had been asked: hardly any work, and then a wait for the answer.
void ask_a_server() { std::this_thread::sleep_for(2ms); }

int main() {
  // [profile]
  heddle::profile_options options;
  options.name = "a request";
  options.sizes = {1, 4, 16};  // without them, a search finds the sizes
  options.measurement = 20ms;  // 100 ms unless told
  options.time_limit = 2s;     // a minute unless told
  const heddle::sizing::profile_report report = heddle::profile(ask_a_server, std::move(options));

  std::fputs(to_text(report).c_str(), stdout);
  if (const auto& best = report.recommended)
    std::printf("%d threads: %s\n", best->size, best->reason.c_str());
  // [profile end]

  // The same for programs: a row for each size, or one object with everything.
  std::fputs(to_csv(report).c_str(), stdout);
  const std::string json = to_json(report);
  return report.recommended && json.starts_with('{') ? 0 : 1;
}
