#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>

#include <heddle/sizing/formulas.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

// "2", "1.5", "0.3333": whole numbers in full, others to four significant digits.
std::string to_text(double value) {
  char text[32];
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.4g", value);
  return text;
}

std::string count(double value, const std::string& singular) {
  return to_text(value) + ' ' + singular + (value == 1 ? "" : "s");
}

void require_positive(const char* formula, const char* what, double value) {
  if (value > 0 && std::isfinite(value)) return;
  throw std::invalid_argument(std::string(formula) + ": " + what + " is " + to_text(value) +
                              ", must be finite and above 0");
}

// Rounded up, but not because of the last bits of a product: 1.1 x 10 is 11.
int round_up(double threads) {
  constexpr double rounding_noise = 1e-9;
  constexpr double most = std::numeric_limits<int>::max();
  return static_cast<int>(std::clamp(std::ceil(threads * (1 - rounding_noise)), 1.0, most));
}

std::string rounding(double threads, int size) {
  return std::abs(threads - size) <= 1e-6 * threads || threads > size ? "" : ", rounded up";
}

}  // namespace

decision cpu_bound(double cores, int physical_cores) {
  require_positive("cpu_bound", "cores", cores);
  require_positive("cpu_bound", "physical_cores", physical_cores);
  const int carried = round_up(cores);
  if (carried < physical_cores)
    return {carried, count(cores, "usable core") + rounding(cores, carried) + ", carry no more, " +
                         "though the work may run on " + count(physical_cores, "physical core")};
  return {physical_cores, "one thread for each of " + count(physical_cores, "physical core") +
                              ": work that never waits gains nothing from more"};
}

decision io_bound(double cores, io_options options) {
  require_positive("io_bound", "cores", cores);
  if (!(options.wait_to_compute >= 0) || !std::isfinite(options.wait_to_compute))
    throw std::invalid_argument("io_bound: wait_to_compute is " + to_text(options.wait_to_compute) +
                                ", must be finite and not negative");
  if (options.cap < 1)
    throw std::invalid_argument("io_bound: cap is " + std::to_string(options.cap) +
                                ", must be at least 1");
  const double wanted = cores * (1 + options.wait_to_compute);
  const int rounded = round_up(wanted);
  const std::string ratio = to_text(options.wait_to_compute);
  const std::string law = count(cores, "core") + " x (1 + " + ratio + ")";
  if (rounded > options.cap)
    return {options.cap,
            law + " makes " + to_text(wanted) + ", capped at " + std::to_string(options.cap)};
  return {rounded, law + rounding(wanted, rounded) + ": a task waits " + ratio +
                       " times as long as it computes"};
}

decision mixed(double cores) {
  require_positive("mixed", "cores", cores);
  const double wanted = 2 * cores;
  const int size = round_up(wanted);
  return {size, "2 x " + count(cores, "core") + rounding(wanted, size) +
                    ": one computes while another waits"};
}

decision small_io(double cores) {
  require_positive("small_io", "cores", cores);
  constexpr int most = 32;
  constexpr int extra = 4;
  const double wanted = cores + extra;
  if (wanted > most) return {most, count(cores, "core") + " + 4, capped at 32"};
  const int size = round_up(wanted);
  return {size, count(cores, "core") + " + 4" + rounding(wanted, size) +
                    ": a few threads more than cores cover short waits"};
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
