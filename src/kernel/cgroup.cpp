#include <algorithm>
#include <utility>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/text.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

// A cgroup's place, relative to the root of this process's cgroup namespace: `up` levels above it,
// then down through `names`. "/a/b" has up = 0, "/../x" has up = 1.
struct place {
  int up = 0;
  std::vector<std::string> names;

  static place parse(std::string_view path) {
    place p;
    while (!path.empty()) {
      const std::string_view name = take_until(path, '/');
      if (name.empty() || name == ".") continue;
      if (name != "..") {
        p.names.emplace_back(name);
      } else if (p.names.empty()) {
        ++p.up;
      } else {
        p.names.pop_back();
      }
    }
    return p;
  }

  // The name of the ancestor that has only the first `depth` names.
  std::string to_string(std::size_t depth) const {
    std::string text;
    for (int i = 0; i < up; ++i) text += "/..";
    for (std::size_t i = 0; i < depth; ++i) text.append("/").append(names[i]);
    return text.empty() ? "/" : text;
  }
};

struct mount {
  cgroup_version version;
  place root;             // which cgroup is mounted
  std::string directory;  // where
};

// mountinfo writes blank, tab, newline and backslash as three octal digits after a backslash.
std::string unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool has_item(std::string_view list, std::string_view item) {
  while (!list.empty())
    if (take_until(list, ',') == item) return true;
  return false;
}

// A line of mountinfo (proc_pid_mountinfo(5)), if it mounts a hierarchy that has the controller:
//   id parent major:minor ROOT DIRECTORY options [tags...] - TYPE source SUPER_OPTIONS
std::optional<mount> parse_mount(std::string_view line, std::string_view controller) {
  take_word(line);
  take_word(line);
  take_word(line);
  const std::string_view root = take_word(line);
  const std::string_view directory = take_word(line);
  take_word(line);
  while (true) {
    const std::string_view tag = take_word(line);
    if (tag.empty()) return std::nullopt;
    if (tag == "-") break;
  }
  const std::string_view type = take_word(line);
  take_word(line);
  const std::string_view super_options = take_word(line);
  const bool v2 = type == "cgroup2";
  if (!v2 && !(type == "cgroup" && has_item(super_options, controller))) return std::nullopt;
  return mount{v2 ? cgroup_version::v2 : cgroup_version::v1, place::parse(unescape(root)),
               unescape(directory)};
}

std::vector<mount> find_mounts(const tree& files, std::string_view controller) {
  std::vector<mount> mounts;
  const auto text = files.read("proc/self/mountinfo");
  if (!text) return mounts;
  for (std::string_view rest = *text; !rest.empty();)
    if (auto m = parse_mount(take_until(rest, '\n'), controller)) mounts.push_back(std::move(*m));
  return mounts;
}

// The process's place in the hierarchy, from a line "id:controllers:path"; the path may have
// colons.
std::optional<place> find_own(std::string_view text, cgroup_version version,
                              std::string_view controller) {
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    take_until(line, ':');
    const std::string_view controllers = take_until(line, ':');
    const bool wanted =
        version == cgroup_version::v2 ? controllers.empty() : has_item(controllers, controller);
    if (wanted && line.starts_with('/')) return place::parse(line);
  }
  return std::nullopt;
}

std::string join(std::string directory, std::string_view name) {
  if (!directory.ends_with('/')) directory += '/';
  return directory.append(name);
}

// Whether the process with this number, as text, is in the group of this directory.
bool has_process(const tree& files, const std::string& directory, std::string_view process) {
  const auto members = files.read(join(directory, "cgroup.procs"));
  if (!members) return false;
  for (std::string_view rest = *members; !rest.empty();)
    if (trim(take_until(rest, '\n')) == process) return true;
  return false;
}

// Goes down `depth` levels of unknown names to the one directory from which `below` leads to the
// process's own group. Appends the names found to `names`. Gives up after `budget` directories.
bool find_unnamed(const tree& files, const std::string& directory, int depth,
                  const std::vector<std::string>& below, std::string_view process,
                  std::vector<std::string>& names, int& budget) {
  if (depth == 0) {
    std::string home = directory;
    for (const std::string& name : below) home = join(std::move(home), name);
    return has_process(files, home, process);
  }
  for (const std::string& name : files.list(directory)) {
    const std::string child = join(directory, name);
    if (!files.exists(join(child, "cgroup.procs"))) continue;
    if (--budget < 0) return false;
    names.push_back(name);
    if (find_unnamed(files, child, depth - 1, below, process, names, budget)) return true;
    names.pop_back();
  }
  return false;
}

// When the mount starts above the cgroup namespace, the kernel tells no names for the levels
// between: look for the way home among the directories. Failing that, only the mount's own root is
// known to be an ancestor.
std::vector<cgroup> levels_above_namespace(const tree& files, const mount& m, const place& own) {
  constexpr int most_directories = 10000;
  std::vector<cgroup> levels{{m.root.to_string(0), m.directory}};
  const auto stat = files.read("proc/self/stat");
  if (!stat) return levels;
  std::string_view rest = *stat;
  const std::string_view process = take_word(rest);

  std::vector<std::string> names;
  int budget = most_directories;
  const int unnamed = m.root.up - own.up;
  if (!find_unnamed(files, m.directory, unnamed, own.names, process, names, budget)) return levels;
  for (int up = m.root.up - 1; const std::string& name : names)
    levels.push_back({place{up--, {}}.to_string(0), join(levels.back().directory, name)});
  for (std::size_t depth = 0; depth < own.names.size(); ++depth)
    levels.push_back({own.to_string(depth + 1), join(levels.back().directory, own.names[depth])});
  std::reverse(levels.begin(), levels.end());
  return levels;
}

// The levels from `own` up to the mount's root, both included, as far as they can be known.
std::vector<cgroup> levels_of(const tree& files, const mount& m, const place& own) {
  const auto& top = m.root.names;
  if (m.root.up > own.up && top.empty()) return levels_above_namespace(files, m, own);
  const bool is_ancestor = m.root.up == own.up && top.size() <= own.names.size() &&
                           std::equal(top.begin(), top.end(), own.names.begin());
  if (!is_ancestor) return {};

  std::vector<cgroup> levels{{own.to_string(top.size()), m.directory}};
  for (std::size_t depth = top.size(); depth < own.names.size(); ++depth)
    levels.push_back({own.to_string(depth + 1), join(levels.back().directory, own.names[depth])});
  std::reverse(levels.begin(), levels.end());
  return levels;
}

}  // namespace

std::vector<cgroup_chain> find_cgroups(const tree& files, std::string_view controller) {
  std::vector<cgroup_chain> chains;
  // Threads of one process may be in different groups; new threads begin in their creator's.
  auto own_text = files.read("proc/thread-self/cgroup");
  if (!own_text) own_text = files.read("proc/self/cgroup");
  if (!own_text) return chains;
  const std::vector<mount> mounts = find_mounts(files, controller);

  for (const cgroup_version version : {cgroup_version::v1, cgroup_version::v2}) {
    const auto own = find_own(*own_text, version, controller);
    if (!own) continue;
    // The hierarchy may be mounted several times, and in parts. Take a mount that really leads to
    // the process's own group, since others may be hidden below later mounts; of those the one that
    // shows most levels, and of equal ones the last.
    cgroup_chain best{version, {}};
    bool best_leads_home = false;
    for (const mount& m : mounts) {
      if (m.version != version) continue;
      auto levels = levels_of(files, m, *own);
      if (levels.empty()) continue;
      const bool leads_home = files.exists(levels.front().directory);
      if (std::pair(leads_home, levels.size()) < std::pair(best_leads_home, best.levels.size()))
        continue;
      best.levels = std::move(levels);
      best_leads_home = leads_home;
    }
    if (!best.levels.empty()) chains.push_back(std::move(best));
  }
  return chains;
}

std::optional<cgroup_limit> tightest_limit(const tree& files,
                                           const std::vector<cgroup_chain>& chains,
                                           std::string_view v1_file, std::string_view v2_file) {
  std::optional<cgroup_limit> tightest;
  for (const cgroup_chain& chain : chains) {
    for (const cgroup& level : chain.levels) {
      std::string file =
          join(level.directory, chain.version == cgroup_version::v1 ? v1_file : v2_file);
      const auto text = files.read(file);
      const auto value = text ? parse_number<std::uint64_t>(*text) : std::nullopt;
      if (value && (!tightest || *value < tightest->value))
        tightest = cgroup_limit{*value, chain.version, level.name, std::move(file)};
    }
  }
  return tightest;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
