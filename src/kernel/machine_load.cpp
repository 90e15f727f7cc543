#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include <heddle/kernel/machine_load.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

enum column { user, nice, system, waiting_idle, io_idle, irq, softirq, steal, columns };

using tick_counts = std::array<std::int64_t, columns>;

// What a column does not say is zero. Guests' time, in the columns beyond, is in user and nice.
tick_counts parse_ticks(std::string_view rest) {
  tick_counts all{};
  for (std::int64_t& column : all)
    column = std::max<std::int64_t>(0, parse_number<std::int64_t>(take_word(rest)).value_or(0));
  return all;
}

std::chrono::milliseconds to_time(std::int64_t ticks, long per_second) {
  return std::chrono::milliseconds(ticks * 1000 / per_second);
}

double forward(std::chrono::milliseconds before, std::chrono::milliseconds after) {
  return static_cast<double>(std::max<std::int64_t>(0, (after - before).count()));
}

}  // namespace

std::optional<machine_load> parse_machine_load(std::string_view text, const cpu_set& cpus,
                                               long ticks_per_second) {
  constexpr std::string_view prefix = "cpu";
  machine_load load;
  std::int64_t busy = 0;
  std::int64_t idle = 0;
  std::int64_t stolen = 0;
  while (text.starts_with(prefix)) {
    std::string_view line = take_until(text, '\n');
    const auto id = parse_number<int>(take_word(line).substr(prefix.size()));
    if (!id || *id < 0 || !cpus.contains(*id)) continue;
    const tick_counts t = parse_ticks(line);
    busy += t[user] + t[nice] + t[system] + t[irq] + t[softirq];
    idle += t[waiting_idle] + t[io_idle];
    stolen += t[steal];
    ++load.cpus;
  }
  if (load.cpus == 0) return std::nullopt;
  load.busy = to_time(busy, ticks_per_second);
  load.idle = to_time(idle, ticks_per_second);
  load.stolen = to_time(stolen, ticks_per_second);
  return load;
}

std::optional<machine_load> read_machine_load(const cpu_set& cpus, const tree& files) {
  const auto text = files.read("proc/stat");
  return text ? parse_machine_load(*text, cpus, ::sysconf(_SC_CLK_TCK)) : std::nullopt;
}

std::optional<core_use> use_between(const machine_load& before, const machine_load& after) {
  if (before.cpus != after.cpus) return std::nullopt;
  // A CPU's idle time may be corrected backwards.
  const double busy = forward(before.busy, after.busy);
  const double stolen = forward(before.stolen, after.stolen);
  const double passed = busy + stolen + forward(before.idle, after.idle);
  if (passed <= 0) return std::nullopt;
  const double cores = after.cpus / passed;
  return core_use{busy * cores, stolen * cores};
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
