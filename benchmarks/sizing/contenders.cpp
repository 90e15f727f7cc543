#include "contenders.hpp"

#include <algorithm>
#include <heddle/kernel/quota.hpp>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "rivals.hpp"

namespace bench {
namespace {

namespace sizing = heddle::sizing;

sizing::law_maker chosen_maker = nullptr;
std::mutex record_mutex;
record what_was_answered;

// Writes down what another law answers.
class recording_law final : public sizing::law {
 public:
  sizing::choice first(double cores, int least, int most) override {
    auto answer = inner_->first(cores, least, most);
    const std::lock_guard hold(record_mutex);
    what_was_answered = {{{0, 0, answer, {}}}, 0};
    return answer;
  }
  sizing::choice next(const sizing::window& now) override {
    auto answer = inner_->next(now);
    const std::lock_guard hold(record_mutex);
    ++what_was_answered.windows;
    if (answer.size != now.size)
      what_was_answered.changes.push_back(
          {std::chrono::duration<double>(now.end).count(), now.size, answer, now});
    return answer;
  }

 private:
  std::unique_ptr<sizing::law> inner_ = chosen_maker();
};

std::unique_ptr<sizing::law> make_recording_law() { return std::make_unique<recording_law>(); }

unsigned fixed_size(const std::string& contender) {
  const auto cores =
      static_cast<unsigned>(heddle::kernel::whole_cores(heddle::kernel::usable_cores()));
  if (contender.starts_with("fixed:"))
    return static_cast<unsigned>(std::stoul(contender.substr(6)));
  if (contender == "cores") return cores;
  if (contender == "2xcores") return 2 * cores;
  if (contender == "min32") return std::min(32u, cores + 4);
  return 0;
}

sizing::law_maker law_of(const std::string& contender) {
  if (contender == "adaptive") return &sizing::make_adaptive_law;
  if (contender == "dotnet") return &make_dotnet_law;
  if (contender == "gradient2") return &make_gradient2_law;
  if (contender == "aimd") return &make_aimd_law;
  throw std::invalid_argument("no such contender: " + contender);
}

}  // namespace

heddle::thread_pool_options options_of(const std::string& contender) {
  heddle::thread_pool_options options;
  options.workers = fixed_size(contender);
  if (options.workers == 0) {
    chosen_maker = law_of(contender);
    options.sizing = sizing::adaptive{.make_law = &make_recording_law};
  }
  return options;
}

record recorded() {
  const std::lock_guard hold(record_mutex);
  return what_was_answered;
}

}  // namespace bench
