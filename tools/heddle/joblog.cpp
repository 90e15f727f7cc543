#include "joblog.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

constexpr std::string_view header =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
constexpr std::size_t columns_before_command = 8;

[[noreturn]] void fail(const char* doing, const std::string& path, int error) {
  throw run_error(
      fmt::format("cannot {} the joblog {}: {}", doing, shortened(path), std::strerror(error)));
}

struct logged_job {
  std::uint64_t sequence;
  bool success;
};

std::optional<logged_job> parse_line(std::string_view line) {
  std::array<std::string_view, columns_before_command> columns;
  for (std::string_view& column : columns) {
    const auto tab = line.find('\t');
    if (tab == line.npos) return std::nullopt;
    column = line.substr(0, tab);
    line.remove_prefix(tab + 1);
  }
  const auto sequence = parse_count(columns[0]);
  int exit_value = 0;
  int signal = 0;
  const auto read_int = [](std::string_view text, int& into) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, into);
    return error == std::errc{} && stop == end;
  };
  if (!sequence || !read_int(columns[6], exit_value) || !read_int(columns[7], signal)) {
    return std::nullopt;
  }
  return logged_job{*sequence, exit_value == 0 && signal == 0};
}

// Reads a log piece by piece: it may be larger than memory.
class joblog_reader {
 public:
  joblog_reader(joblog_contents& into, bool only_successful)
      : into_(into), only_successful_(only_successful) {}

  void feed(std::string_view bytes) {
    if (!bytes.empty()) into_.empty = false;
    for (auto end = bytes.find('\n'); end != bytes.npos; end = bytes.find('\n')) {
      rest_ += bytes.substr(0, end);
      take_line(rest_);
      rest_.clear();
      bytes.remove_prefix(end + 1);
    }
    rest_ += bytes;
    into_.ends_in_line = rest_.empty();
  }

 private:
  void take_line(std::string_view line) {
    if (line == header.substr(0, header.size() - 1)) return;
    const auto job = parse_line(line);
    if (!job) {
      ++into_.unreadable_lines;
    } else if (job->success || !only_successful_) {
      into_.done.insert(job->sequence);
    } else {
      into_.done.erase(job->sequence);
    }
  }

  joblog_contents& into_;
  bool only_successful_;
  std::string rest_;
};

}  // namespace

joblog_contents read_joblog(const std::string& path, bool only_successful) {
  joblog_contents contents;
  const process::unique_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return contents;
    fail("read", path, errno);
  }
  joblog_reader reader(contents, only_successful);
  std::string buffer(std::size_t{64} << 10, '\0');
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", path, errno);
    if (n == 0) return contents;
    reader.feed(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
  }
}

joblog::joblog(std::string path, const joblog_contents* continued, bool sync)
    : path_(std::move(path)), sync_(sync) {
  const int fresh = continued == nullptr ? O_TRUNC : 0;
  file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | fresh, 0666));
  if (!file_) fail("open", path_, errno);
  if (continued != nullptr && !continued->ends_in_line) line_.assign(1, '\n');
  if (continued == nullptr || continued->empty) line_ = header;
  if (!line_.empty()) write_line();
}

void joblog::add(const joblog_entry& entry) {
  using std::chrono::duration;
  line_.clear();
  fmt::format_to(std::back_inserter(line_), "{}\t:\t{:.3f}\t{:10.3f}\t0\t{}\t{}\t{}\t",
                 entry.sequence, duration<double>(entry.started.time_since_epoch()).count(),
                 duration<double>(entry.runtime).count(), entry.received, entry.exit_value,
                 entry.signal);
  if (!entry.shell) {
    for (std::size_t i = 0; i < entry.command.size(); ++i) {
      if (i != 0) line_ += ' ';
      append_readable(line_, entry.command[i]);
    }
  } else if (entry.command.back().find_first_of("\t\n\r") == std::string::npos) {
    line_ += entry.command.back();
  } else {
    line_ += "eval ";
    append_readable(line_, entry.command.back());
  }
  line_ += '\n';
  write_line();
}

void joblog::write_line() {
  ssize_t n;
  do {
    n = ::write(file_.get(), line_.data(), line_.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) fail("write to", path_, errno);
  if (static_cast<std::size_t>(n) != line_.size()) fail("write to", path_, ENOSPC);
  // Pipes and devices have nothing to make durable.
  if (sync_ && ::fdatasync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) {
    fail("sync", path_, errno);
  }
}

}  // namespace heddle::tool
