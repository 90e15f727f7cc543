#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>

#include <heddle/kernel/descriptor_count.hpp>

#include "kernel/count_entries.hpp"

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

struct counted {
  std::uint64_t entries;
  bool is_complete;
};

// Entries that do not begin with a dot. readdir() would allocate a buffer each time.
counted count_entries(int directory) {
  constexpr std::size_t name_at = offsetof(dirent64, d_name);
  alignas(dirent64) std::array<char, 4096> buffer;
  counted all{0, false};
  while (true) {
    const long filled = ::syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (filled < 0) return all;
    if (filled == 0) return {all.entries, true};
    for (long at = 0; at < filled;) {
      const char* const entry = buffer.data() + at;
      unsigned short length = 0;
      std::memcpy(&length, entry + offsetof(dirent64, d_reclen), sizeof length);
      if (entry[name_at] != '.') ++all.entries;
      at += length;
    }
  }
}

}  // namespace

std::optional<std::uint64_t> count_entries(const std::string& path) {
  const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return std::nullopt;
  const counted all = count_entries(directory);
  ::close(directory);
  return all.is_complete ? std::optional(all.entries) : std::nullopt;
}

std::uint64_t count_by_trying() {
  constexpr rlim_t most = 65536;
  rlimit limit{most, most};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int end = static_cast<int>(std::min(limit.rlim_cur, most));
  std::uint64_t open = 0;
  for (int descriptor = 0; descriptor < end; ++descriptor)
    if (::fcntl(descriptor, F_GETFD) >= 0) ++open;
  return open;
}

std::optional<std::uint64_t> count_descriptors(const tree& files) {
  const std::string path = files.root() + "/proc/self/fd";
  if (!files.live()) return count_entries(path);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return count_by_trying();
  if (status.st_size > 0) return static_cast<std::uint64_t>(status.st_size);
  const auto with_own = count_entries(path);  // the descriptor that it looks through is in it
  return with_own ? *with_own - 1 : count_by_trying();
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
