#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <heddle/kernel/tree.hpp>
#include <memory>
#include <utility>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

constexpr std::size_t largest_file = std::size_t{16} << 20;

std::optional<std::string> read_all(int fd) {
  std::string text;
  std::size_t filled = 0;
  while (true) {
    text.resize(std::max<std::size_t>(1024, 2 * filled));
    const ssize_t n = ::read(fd, text.data() + filled, text.size() - filled);
    if (n < 0) {
      if (errno == EINTR) continue;
      return std::nullopt;
    }
    filled += static_cast<std::size_t>(n);
    if (filled > largest_file) return std::nullopt;
    if (n == 0) {
      text.resize(filled);
      return text;
    }
  }
}

}  // namespace

tree::tree(std::string root) : root_(std::move(root)) {
  while (!root_.empty() && root_.back() == '/') root_.pop_back();
}

std::string tree::full(std::string_view path) const {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  std::string whole;
  whole.reserve(root_.size() + 1 + path.size());
  return whole.append(root_).append("/").append(path);
}

std::optional<std::string> tree::read(std::string_view path) const {
  const int fd = ::open(full(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  struct closer {
    int file;
    ~closer() { ::close(file); }
  } const at_end{fd};
  return read_all(fd);
}

std::vector<std::string> tree::list(std::string_view path) const {
  std::vector<std::string> names;
  struct closer {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
  };
  const std::unique_ptr<DIR, closer> directory(::opendir(full(path).c_str()));
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool tree::exists(std::string_view path) const { return ::access(full(path).c_str(), F_OK) == 0; }

}  // namespace heddle::inline HEDDLE_ABI::kernel
