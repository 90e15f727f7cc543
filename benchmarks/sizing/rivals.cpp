#include "rivals.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <optional>
#include <vector>

#include "work.hpp"

namespace bench {
namespace {

namespace sizing = heddle::sizing;
using std::chrono::milliseconds;

double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// Little's law: how long a task took, on average; nothing when none ended.
std::optional<double> task_seconds(const sizing::window& now) {
  if (now.completed == 0) return std::nullopt;
  return now.busy * in_seconds(now.length) / static_cast<double>(now.completed);
}

// The component of one period in a series, per sample. Source: G. Goertzel, An Algorithm for the
// Evaluation of Finite Trigonometric Series, 1958.
std::complex<double> component(const std::vector<double>& series, std::size_t first,
                               double period) {
  const double angle = 2 * std::numbers::pi / period;
  const double factor = 2 * std::cos(angle);
  double last = 0;
  double before = 0;
  for (std::size_t i = first; i < series.size(); ++i) {
    const double next = series[i] + factor * last - before;
    before = last;
    last = next;
  }
  return std::complex(last - before * std::cos(angle), before * std::sin(angle)) /
         static_cast<double>(series.size() - first);
}

class dotnet_law final : public sizing::law {
 public:
  sizing::choice first(double cores, int least, int most) override {
    least_ = std::clamp(static_cast<int>(std::ceil(cores)), least, most);
    setting_ = least_;
    interval_ = random_.uniform(0.010, 0.200);
    return {least_, sizing::cause::start, "as many as cores", in_sample(interval_)};
  }

  sizing::choice next(const sizing::window& now) override {
    // A worker that the gate adds is given half a second to have an effect.
    const double length = in_seconds(now.length);
    stalled_ = now.queued > 0 && now.completed == 0 ? stalled_ + length : 0;
    since_gate_ += length;
    if (since_gate_ >= 0.5) {
      since_gate_ = 0;
      const double patience = now.computing < 0.8 * now.cores ? 0.5 : now.size;
      if (stalled_ >= patience && now.size < now.most) {
        setting_ = now.size + 1;
        return answer(now, now.size + 1, "no task has begun for half a second");
      }
    }
    return answer(now, climb(now), "hill climbing");
  }

 private:
  static constexpr std::size_t period = 4;   // samples in a wave
  static constexpr std::size_t history = 8;  // waves
  static constexpr double bias = 0.15;       // of the throughput, what a worker more must bring
  static constexpr double largest_wave = 20;
  static constexpr double signal_to_noise = 3;
  static constexpr double noise_smoothing = 0.01;
  static constexpr double most_a_second = 4;
  static constexpr double most_a_sample = 20;
  static constexpr double count_error = 0.15;
  static constexpr double gain_exponent = 2;
  static constexpr double busy_cpu = 0.95;

  static milliseconds in_sample(double seconds) {
    return milliseconds(std::max(1, static_cast<int>(seconds * 1000)));
  }

  sizing::choice answer(const sizing::window& now, int size, const char* reason) const {
    size = std::clamp(size, now.least, now.most);
    const bool moves = size != now.size;
    return {size, moves ? sizing::cause::trial : sizing::cause::nothing_new, moves ? reason : "",
            in_sample(interval_)};
  }

  int climb(const sizing::window& now) {
    collected_seconds_ += in_seconds(now.length);
    collected_tasks_ += static_cast<double>(now.completed);
    // Tasks that end at the edge of a sample falsify it: a worker each, at most.
    if (throughputs_.size() > 0 && collected_tasks_ > 0 &&
        (now.size - 1.0) / collected_tasks_ >= count_error)
      return now.size;
    if (collected_tasks_ == 0) return now.size;

    throughputs_.push_back(collected_tasks_ / collected_seconds_);
    sizes_.push_back(now.size);
    const double sample_seconds = collected_seconds_;
    collected_tasks_ = collected_seconds_ = 0;
    ++samples_;

    std::complex<double> ratio = 0;
    double confidence = 0;
    const std::size_t count =
        std::min(static_cast<std::size_t>(samples_ - 1), period * history) / period * period;
    if (count > period) {
      const std::size_t from = throughputs_.size() - count;
      double throughput = 0;
      double size = 0;
      for (std::size_t i = from; i < throughputs_.size(); ++i) {
        throughput += throughputs_[i] / static_cast<double>(count);
        size += sizes_[i] / static_cast<double>(count);
      }
      if (throughput > 0 && size > 0) {
        const auto waves = static_cast<double>(count) / period;
        const auto all = static_cast<double>(count);
        const auto throughput_wave = component(throughputs_, from, period) / throughput;
        const auto size_wave = component(sizes_, from, period) / size;
        double noise = std::abs(component(throughputs_, from, all / (waves + 1)) / throughput);
        if (waves > 1)
          noise = std::max(noise,
                           std::abs(component(throughputs_, from, all / (waves - 1)) / throughput));
        average_noise_ = average_noise_ == 0
                             ? noise
                             : noise_smoothing * noise + (1 - noise_smoothing) * average_noise_;
        if (std::abs(size_wave) > 0) {
          ratio = (throughput_wave - bias * size_wave) / size_wave;
          const double doubt = std::max(noise, average_noise_);
          confidence = doubt > 0 ? std::abs(size_wave) / doubt / signal_to_noise : 1;
        }
      }
    }

    double move = std::clamp(ratio.real(), -1.0, 1.0) * std::clamp(confidence, 0.0, 1.0);
    move = std::copysign(std::pow(std::abs(move), gain_exponent), move) * most_a_second *
           sample_seconds;
    move = std::min(move, most_a_sample);
    if (move > 0 && now.computing + now.foreign > busy_cpu * now.cores) move = 0;
    setting_ += move;

    const double wave = std::clamp(
        std::floor(0.5 + setting_ * average_noise_ * signal_to_noise * 2), 1.0, largest_wave);
    setting_ = std::clamp<double>(setting_, least_, std::max<double>(least_, now.most - wave));
    const bool high = samples_ / (period / 2) % 2 == 1;
    const int size = static_cast<int>(setting_ + (high ? wave : 0));
    // At the least size there is nothing to learn in a hurry.
    if (ratio.real() < 0 && size == least_)
      interval_ = 0.5 + base_interval_ * 10 * std::min(-ratio.real(), 1.0);
    else
      interval_ = base_interval_;
    return size;
  }

  random_numbers random_{static_cast<std::uint64_t>(clock::now().time_since_epoch().count()), 0};
  double base_interval_ = random_.uniform(0.010, 0.200);
  double interval_ = base_interval_;
  int least_ = 1;
  double setting_ = 1;
  double stalled_ = 0;
  double since_gate_ = 0;
  double collected_tasks_ = 0;
  double collected_seconds_ = 0;
  std::size_t samples_ = 0;
  double average_noise_ = 0;
  std::vector<double> throughputs_;
  std::vector<double> sizes_;
};

// What both limits of concurrency-limits have in common.
class limit_law : public sizing::law {
 public:
  sizing::choice first(double, int least, int most) override {
    limit_ = std::clamp(20, least, most);
    return {static_cast<int>(limit_), sizing::cause::start, "the published default", window};
  }
  sizing::choice next(const sizing::window& now) override {
    if (const auto time = task_seconds(now)) limit_ = updated(now, *time);
    limit_ = std::clamp(limit_, std::min(20., double(now.most)), std::min(200., double(now.most)));
    const int size = std::clamp(static_cast<int>(limit_), now.least, now.most);
    const bool moves = size != now.size;
    return {size, moves ? sizing::cause::trial : sizing::cause::nothing_new,
            moves ? "the task time has changed" : "", window};
  }

 protected:
  double limit() const { return limit_; }

 private:
  static constexpr milliseconds window{100};

  // The limit after a window in which tasks took so long.
  virtual double updated(const sizing::window& now, double seconds) = 0;

  double limit_ = 20;
};

class gradient2_law final : public limit_law {
  double updated(const sizing::window& now, double seconds) override {
    constexpr double more = 4;
    constexpr double tolerance = 1.5;
    constexpr double smoothing = 0.2;
    // The mean of the first ten samples, then an exponential one.
    constexpr double warm_up = 10;
    constexpr double memory = 600;
    ++samples_;
    if (samples_ <= warm_up) {
      total_ += seconds;
      usual_ = total_ / samples_;
    } else {
      usual_ += (seconds - usual_) * 2 / (memory + 1);
    }
    // After a time of slow tasks the memory of it fades sooner.
    if (usual_ / seconds > 2) usual_ *= 0.95;
    if (now.busy < limit() / 2) return limit();
    const double gradient = std::clamp(tolerance * usual_ / seconds, 0.5, 1.0);
    return limit() * (1 - smoothing) + (limit() * gradient + more) * smoothing;
  }

  double samples_ = 0;
  double total_ = 0;
  double usual_ = 0;
};

class aimd_law final : public limit_law {
  double updated(const sizing::window& now, double seconds) override {
    shortest_ = shortest_ == 0 ? seconds : std::min(shortest_, seconds);
    if (seconds > 2 * shortest_) return limit() * 0.9;
    return now.busy >= limit() / 2 ? limit() + 1 : limit();
  }

  double shortest_ = 0;
};

}  // namespace

std::unique_ptr<sizing::law> make_dotnet_law() { return std::make_unique<dotnet_law>(); }
std::unique_ptr<sizing::law> make_gradient2_law() { return std::make_unique<gradient2_law>(); }
std::unique_ptr<sizing::law> make_aimd_law() { return std::make_unique<aimd_law>(); }

}  // namespace bench
