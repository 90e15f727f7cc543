// Loads made at random: a few kinds of tasks, each of a few stages.
#include <array>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "loads.hpp"
#include "work.hpp"

namespace bench {
namespace {

enum class stage_kind { compute, sleep, lock, stream };
enum class spread { constant, uniform, exponential, bimodal, pareto };

struct stage {
  stage_kind kind = stage_kind::compute;
  spread how = spread::constant;
  double mean = 0;  // microseconds; of stream: KiB
  std::size_t lock = 0;
};

struct task_kind {
  double weight = 1;
  std::vector<stage> stages;
};

stage random_stage(random_numbers& random) {
  stage one;
  const double which = random.uniform();
  if (which < 0.45) {
    one.kind = stage_kind::compute;
    one.mean = random.log_uniform(50, 1'000);
  } else if (which < 0.75) {
    one.kind = stage_kind::sleep;
    one.mean = random.log_uniform(300, 30'000);
  } else if (which < 0.87) {
    one.kind = stage_kind::lock;
    one.mean = random.log_uniform(10, 200);
  } else {
    one.kind = stage_kind::stream;
    one.mean = random.log_uniform(256, 4'096);
  }
  one.how = static_cast<spread>(random.below(5));
  one.lock = random.below(2);
  return one;
}

std::vector<task_kind> random_kinds(std::uint64_t seed) {
  random_numbers random(seed, 0);
  std::vector<task_kind> kinds(1 + random.below(4));
  for (auto& kind : kinds) {
    kind.weight = random.uniform(0.1, 1);
    kind.stages.resize(1 + random.below(3));
    for (auto& one : kind.stages) one = random_stage(random);
  }
  return kinds;
}

double drawn(const stage& from, random_numbers& random) {
  switch (from.how) {
    case spread::constant:
      return from.mean;
    case spread::uniform:
      return random.uniform(0, 2 * from.mean);
    case spread::exponential:
      return random.exponential(from.mean);
    case spread::bimodal:
      return random.uniform() < 0.9 ? from.mean / 2 : from.mean * 5.5;
    case spread::pareto: {
      // The mean of this distribution is 3.3 times its least value.
      constexpr double shape = 1.2;
      return random.bounded_pareto(shape, from.mean / 3.3, from.mean / 3.3 * 50);
    }
  }
  return from.mean;
}

class mixture final : public load {
 public:
  explicit mixture(std::uint64_t seed) : seed_(seed), kinds_(random_kinds(seed)) {
    for (const auto& kind : kinds_) {
      weights_ += kind.weight;
      for (const auto& one : kind.stages)
        if (one.kind == stage_kind::stream) uses_memory_ = true;
    }
    if (uses_memory_) prepare_memory();
  }

  void task(std::uint64_t index, heddle::thread_pool&) override {
    random_numbers random(seed_, index + 1);
    double at = random.uniform(0, weights_);
    const task_kind* kind = kinds_.data();
    while (kind != &kinds_.back() && at >= kind->weight) at -= (kind++)->weight;
    for (const auto& one : kind->stages) run(one, drawn(one, random), random);
  }

 private:
  void run(const stage& one, double amount, random_numbers& random) {
    switch (one.kind) {
      case stage_kind::compute:
        return compute(amount);
      case stage_kind::sleep:
        return rest(amount);
      case stage_kind::stream:
        return stream(random.next(), static_cast<std::size_t>(amount + 1) << 10);
      case stage_kind::lock: {
        const std::lock_guard hold(locks_[one.lock]);
        return compute(amount);
      }
    }
  }

  std::uint64_t seed_;
  std::vector<task_kind> kinds_;
  double weights_ = 0;
  bool uses_memory_ = false;
  std::array<std::mutex, 2> locks_;
};

}  // namespace

std::unique_ptr<load> make_mixture(std::uint64_t seed) { return std::make_unique<mixture>(seed); }

std::string describe_mixture(std::uint64_t seed) {
  constexpr std::array spreads{"constant", "uniform", "exponential", "bimodal", "Pareto"};
  std::ostringstream text;
  text.precision(2);
  double weights = 0;
  const auto kinds = random_kinds(seed);
  for (const auto& kind : kinds) weights += kind.weight;
  const char* between_kinds = "";
  for (const auto& kind : kinds) {
    text << between_kinds << static_cast<int>(100 * kind.weight / weights + 0.5) << " %: ";
    between_kinds = "; ";
    const char* between = "";
    for (const auto& one : kind.stages) {
      text << between;
      between = ", ";
      switch (one.kind) {
        case stage_kind::compute:
          text << "computes " << one.mean / 1000 << " ms";
          break;
        case stage_kind::sleep:
          text << "sleeps " << one.mean / 1000 << " ms";
          break;
        case stage_kind::lock:
          text << "mutex " << one.lock << " for " << one.mean / 1000 << " ms";
          break;
        case stage_kind::stream:
          text << "streams " << one.mean / 1024 << " MiB";
          break;
      }
      text << " (" << spreads[static_cast<std::size_t>(one.how)] << ')';
    }
  }
  return text.str();
}

}  // namespace bench
