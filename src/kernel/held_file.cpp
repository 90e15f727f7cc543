#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <heddle/kernel/held_file.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

// Descriptors are given out from 0 upwards, so a high number tells that many are in use.
bool is_spare(int descriptor) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  return static_cast<rlim_t>(descriptor) < limit.rlim_cur / 2;
}

}  // namespace

held_file::held_file(const tree& files, std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  std::string whole;
  whole.reserve(files.root().size() + 1 + path.size());
  whole.append(files.root()).append("/").append(path);
  descriptor_ = ::open(whole.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (is_open() && !is_spare(descriptor_)) close();
}

void held_file::close() noexcept {
  if (is_open()) ::close(std::exchange(descriptor_, -1));
}

std::optional<std::string_view> held_file::read(std::span<char> buffer) const noexcept {
  if (!is_open()) return std::nullopt;
  ssize_t length;
  do length = ::pread(descriptor_, buffer.data(), buffer.size(), 0);
  while (length < 0 && errno == EINTR);
  if (length < 0) return std::nullopt;
  return std::string_view(buffer.data(), static_cast<std::size_t>(length));
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
