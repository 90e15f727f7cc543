#include <algorithm>
#include <cmath>

#include <heddle/sizing/law.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

class adaptive_law final : public law {
 public:
  choice first(double cores, int least, int most) override {
    return {std::clamp(static_cast<int>(std::ceil(cores)), least, most), cause::start,
            "one worker for each usable core", std::chrono::milliseconds(10)};
  }
  choice next(const window& now) override {
    const int stay = std::clamp(now.size, now.least, now.most);
    const double used = std::max(now.computing, 0.05);
    if (now.queued > 0 && now.busy > 0.95 * now.size && now.computing < 0.95 * now.cores &&
        now.runnable < 0.5 * now.cores) {
      const double wanted = std::min(4.0 * now.size, now.size * 0.97 * now.cores / used);
      return {std::clamp(static_cast<int>(std::ceil(wanted)), now.least, now.most),
              cause::idle_cores, "work waits and cores lie idle", std::chrono::milliseconds(20)};
    }
    return {stay, cause::nothing_new, {}, std::chrono::milliseconds(50)};
  }
};

}  // namespace

std::unique_ptr<law> make_adaptive_law() { return std::make_unique<adaptive_law>(); }

}  // namespace heddle::inline HEDDLE_ABI::sizing
