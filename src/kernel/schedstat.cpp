#include <algorithm>
#include <string>

#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

std::string task_path(pid_t process) { return "proc/" + std::to_string(process) + "/task"; }

std::optional<schedstat> read_from(const tree& files, const std::string& path) {
  const auto text = files.read(path);
  return text ? parse_schedstat(*text) : std::nullopt;
}

}  // namespace

std::optional<schedstat> parse_schedstat(std::string_view text) {
  const auto running = parse_number<std::int64_t>(take_word(text));
  const auto waiting = parse_number<std::int64_t>(take_word(text));
  const auto slices = parse_number<std::uint64_t>(text);
  if (!running || !waiting || !slices || *running < 0 || *waiting < 0) return std::nullopt;
  return schedstat{std::chrono::nanoseconds(*running), std::chrono::nanoseconds(*waiting), *slices};
}

std::optional<schedstat> read_schedstat(pid_t process, pid_t thread, const tree& files) {
  return read_from(files, task_path(process) + '/' + std::to_string(thread) + "/schedstat");
}

std::optional<schedstat> read_own_schedstat(const tree& files) {
  return read_from(files, "proc/thread-self/schedstat");
}

std::vector<pid_t> list_threads(pid_t process, const tree& files) {
  std::vector<pid_t> threads;
  for (const std::string& name : files.list(task_path(process)))
    if (const auto id = parse_number<pid_t>(name)) threads.push_back(*id);
  std::sort(threads.begin(), threads.end());
  return threads;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
