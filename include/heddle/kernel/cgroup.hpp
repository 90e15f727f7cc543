// The control groups a thread is in, from its own up to the outermost that can be seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

enum class cgroup_version : unsigned char { v1 = 1, v2 = 2 };

struct cgroup {
  std::string name;       // as /proc/self/cgroup names it: "/system.slice/web.service"
  std::string directory;  // where its files are: "/sys/fs/cgroup/system.slice/web.service"
};

// One hierarchy, seen from this process. Limits of every level hold at once.
struct cgroup_chain {
  cgroup_version version = cgroup_version::v2;
  std::vector<cgroup> levels;  // the process's own first, the outermost last
};

// The chains in which `controller` ("cpu", "memory", "pids") may be limited: the v1 hierarchy that
// has the controller, then the v2 hierarchy, whichever exist; both on a hybrid system.
//
// Asks for the calling thread, in /proc/thread-self/cgroup (a recorded tree may have
// /proc/self/cgroup), and follows /proc/self/mountinfo, so that it is right inside containers:
// where only a part of the hierarchy is mounted, the levels of that part are given; where the
// process sits outside its cgroup namespace, the names are reconciled; where the namespace begins
// below the mount, so that the kernel hides the names between, the way home is looked for in the
// directories. Levels that no mount shows cannot be known. Empty when there is nothing to be found.
// Costs some 45 µs, most of it /proc/self/mountinfo: more where there are many mounts.
HEDDLE_API std::vector<cgroup_chain> find_cgroups(const tree& files, std::string_view controller);

// A limit that is a plain number ("max" or a missing file being none).
struct cgroup_limit {
  std::uint64_t value = 0;
  cgroup_version version = cgroup_version::v2;
  std::string cgroup;  // name of the group that sets it
  std::string file;    // the file that says so
};

// The smallest number in any level's `v1_file` or `v2_file`; of equal ones the level nearest to the
// process. "max", missing and malformed files are no limit.
HEDDLE_API std::optional<cgroup_limit> tightest_limit(const tree& files,
                                                      const std::vector<cgroup_chain>& chains,
                                                      std::string_view v1_file,
                                                      std::string_view v2_file);

}  // namespace heddle::inline HEDDLE_ABI::kernel
