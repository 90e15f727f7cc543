#include <algorithm>
#include <charconv>
#include <string>

#include <heddle/kernel/pressure.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

std::string_view name_of(resource r) {
  switch (r) {
    case resource::cpu:
      return "cpu";
    case resource::memory:
      return "memory";
    case resource::io:
      return "io";
  }
  return "";
}

// "key=12.34", in percent.
std::optional<double> parse_share(std::string_view word, std::string_view key) {
  if (!word.starts_with(key)) return std::nullopt;
  word.remove_prefix(key.size());
  double percent = 0;
  const auto [end, failure] =
      std::from_chars(word.data(), word.data() + word.size(), percent, std::chars_format::fixed);
  if (failure != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  if (!(percent >= 0 && percent <= 100)) return std::nullopt;
  return percent / 100;
}

std::optional<stall> find_stall(std::string_view text, std::string_view kind) {
  auto columns = find_value(text, kind);
  if (!columns) return std::nullopt;
  const auto avg10 = parse_share(take_word(*columns), "avg10=");
  const auto avg60 = parse_share(take_word(*columns), "avg60=");
  const auto avg300 = parse_share(take_word(*columns), "avg300=");
  std::string_view last = take_word(*columns);
  constexpr std::string_view total = "total=";
  if (!avg10 || !avg60 || !avg300 || !last.starts_with(total)) return std::nullopt;
  last.remove_prefix(total.size());
  const auto microseconds = parse_number<std::int64_t>(last);
  if (!microseconds || *microseconds < 0) return std::nullopt;
  return stall{*avg10, *avg60, *avg300, std::chrono::microseconds(*microseconds)};
}

std::optional<pressure> read_from(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  return text ? parse_pressure(*text) : std::nullopt;
}

}  // namespace

std::optional<pressure> parse_pressure(std::string_view text) {
  const auto some = find_stall(text, "some");
  if (!some) return std::nullopt;
  return pressure{*some, find_stall(text, "full")};
}

std::optional<pressure> read_pressure(resource of, const tree& files) {
  return read_from(files, "proc/pressure/" + std::string(name_of(of)));
}

std::optional<pressure> read_pressure(resource of, const tree& files,
                                      const std::vector<cgroup_chain>& groups) {
  for (const cgroup_chain& chain : groups) {
    if (chain.version != cgroup_version::v2 || chain.levels.empty()) continue;
    return read_from(files,
                     chain.levels.front().directory + "/" + std::string(name_of(of)) + ".pressure");
  }
  return std::nullopt;
}

double stalled_share(const stall& before, const stall& after, std::chrono::nanoseconds apart) {
  if (apart.count() <= 0) return 0;
  const std::chrono::nanoseconds stalled = after.total - before.total;
  return std::clamp(static_cast<double>(stalled.count()) / static_cast<double>(apart.count()), 0.0,
                    1.0);
}

double stall_window::add(prim::time_point now, const stall& total) {
  looks_.push_back({now, total});
  while (looks_.size() > 2 && now - looks_[1].at >= least) looks_.erase(looks_.begin());
  const look& first = looks_.front();
  return stalled_share(first.total, total,
                       std::max<std::chrono::nanoseconds>(now - first.at, least));
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
