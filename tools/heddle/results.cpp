#include "results.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "failure.hpp"

namespace heddle::tool {
namespace {

constexpr std::array<std::string_view, streams> names{"stdout", "stderr"};

[[noreturn]] void fail(const std::string& file, int error) {
  if (error == EMFILE || error == ENFILE) {
    throw std::system_error(error, std::generic_category(), "cannot open " + file);
  }
  throw run_error(fmt::format("cannot keep results in {}: {}", file, std::strerror(error)));
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) fail(path, errno);
}

process::unique_descriptor create(const std::string& path) {
  process::unique_descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file) fail(path, errno);
  return file;
}

void write_all(const std::string& path, int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

results_folder::results_folder(std::string path) : path_(std::move(path)) {
  for (auto slash = path_.find('/', 1); slash != path_.npos; slash = path_.find('/', slash + 1)) {
    make_folder(path_.substr(0, slash));
  }
  make_folder(path_);
}

results_folder::files results_folder::open(std::uint64_t sequence, std::string_view command) const {
  const std::string folder = fmt::format("{}/{}", path_, sequence);
  make_folder(folder);
  const std::string about = folder + "/seq";
  write_all(about, create(about).get(), fmt::format("{}\n{}\n", sequence, command));
  files opened;
  for (std::size_t i = 0; i < streams; ++i)
    opened[i] = create(fmt::format("{}/{}", folder, names[i]));
  return opened;
}

void results_folder::write(std::uint64_t sequence, stream which, const files& to,
                           std::string_view bytes) const {
  const auto i = static_cast<std::size_t>(which);
  write_all(fmt::format("{}/{}/{}", path_, sequence, names[i]), to[i].get(), bytes);
}

void results_folder::close(std::uint64_t sequence, files& opened) const {
  for (std::size_t i = 0; i < streams; ++i) {
    if (opened[i] && ::close(opened[i].release()) != 0) {
      fail(fmt::format("{}/{}/{}", path_, sequence, names[i]), errno);
    }
  }
}

}  // namespace heddle::tool
