#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <heddle/kernel/held_file.hpp>
#include <heddle/kernel/process_sampler.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/text.hpp>

#include "kernel/cpu_clock.hpp"
#include "kernel/process_stat.hpp"

namespace heddle::inline HEDDLE_ABI::kernel {

namespace {

using std::chrono::nanoseconds;

// A file that is read again and again, by an open descriptor where there is one to spare.
class proc_file {
 public:
  explicit proc_file(std::string path) : path_(std::move(path)) {}

  // Into `buffer`, which grows as need be.
  std::optional<std::string_view> read(const tree& files, std::string& buffer) {
    constexpr std::size_t smallest = 4096;
    if (!std::exchange(is_in_use_, true)) held_ = held_file(files, path_);
    if (!held_.is_open()) {
      auto text = files.read(path_);
      if (!text) return std::nullopt;
      buffer = *std::move(text);
      return buffer;
    }
    if (buffer.size() < smallest) buffer.resize(smallest);
    while (true) {
      const auto text = held_.read(buffer);
      if (!text || text->size() < buffer.size()) return text;
      buffer.resize(2 * buffer.size());
    }
  }

 private:
  std::string path_;
  bool is_in_use_ = false;
  held_file held_{};
};

struct thread_entry {
  explicit thread_entry(const std::string& directory)
      : stat(directory + "/stat"),
        books(directory + "/schedstat"),
        children(directory + "/children") {}

  proc_file stat;
  proc_file books;
  proc_file children;
  schedstat last{};
};

struct process_entry {
  explicit process_entry(const std::string& directory) : stat(directory + "/stat") {}

  proc_file stat;
  std::uint64_t started = 0;  // 0 before it has been read
  std::map<pid_t, thread_entry> threads{};
};

// A child, and whoever descends from it.
struct family {
  std::map<pid_t, process_entry> members{};
  nanoseconds counted{};  // never falls
  nanoseconds lost{};     // used by members whose end no other member has seen
  nanoseconds waiting{};
};

std::string directory_of(pid_t process) { return "proc/" + std::to_string(process); }

}  // namespace

struct process_sampler::state {
  kinship kin = kinship::descendants;
  tree files{};
  bool knows_waiting = false;
  bool lists_children = false;  // CONFIG_PROC_CHILDREN
  long ticks_per_second = ::sysconf(_SC_CLK_TCK);

  std::map<pid_t, family> families{};
  nanoseconds retired{};   // CPU time of families that are gone
  process_times totals{};  // what only ever grows of it

  std::multimap<pid_t, pid_t> children_by_scan{};
  std::string buffer{};

  void scan_for_children();
  void sample_family(pid_t child, family& f, process_times& now);
  std::optional<nanoseconds> sample_member(pid_t id, process_entry& process, process_times& now);
  void find_threads(pid_t id, process_entry& process, int expected);
  nanoseconds read_books(process_entry& process);
  void count_states(pid_t leader, char state_of_leader, process_entry& process, process_times& now);
  void find_children(pid_t id, process_entry& process, std::vector<pid_t>& found);
};

// Where the kernel lists nobody's children, everybody is asked for the parent.
void process_sampler::state::scan_for_children() {
  children_by_scan.clear();
  for (const std::string& name : files.list("proc")) {
    const auto id = parse_number<pid_t>(name);
    const auto text = id ? files.read(directory_of(*id) + "/stat") : std::nullopt;
    const auto stat = text ? parse_process_stat(*text, ticks_per_second) : std::nullopt;
    if (stat) children_by_scan.emplace(stat->parent, *id);
  }
}

void process_sampler::state::sample_family(pid_t child, family& f, process_times& now) {
  // Those known are looked at even when nobody calls them his child any more: one whose parent has
  // ended stays a member, and the kernel's lists leave children out while others end.
  std::vector<pid_t> to_visit;
  to_visit.reserve(f.members.size());
  for (const auto& [id, process] : f.members) to_visit.push_back(id);

  nanoseconds used{};
  const nanoseconds waiting_before = totals.waiting;
  int living = 0;
  for (std::size_t i = 0; i < to_visit.size(); ++i) {
    const pid_t id = to_visit[i];
    const auto known = f.members.try_emplace(id, directory_of(id)).first;
    const auto used_by_member = sample_member(id, known->second, now);
    if (!used_by_member) {
      if (id != child) f.members.erase(known);
      continue;
    }
    used += *used_by_member;
    ++living;
    if (kin == kinship::alone) continue;
    std::vector<pid_t> children;
    find_children(id, known->second, children);
    for (const pid_t grandchild : children)
      if (std::find(to_visit.begin(), to_visit.end(), grandchild) == to_visit.end())
        to_visit.push_back(grandchild);
  }

  f.waiting += totals.waiting - waiting_before;

  // What a member had used passes to the parent that waits for it, but rounded to ticks, together
  // with its siblings'. Only if more than that is missing has a member gone elsewhere with it.
  const nanoseconds rounding = nanoseconds(2'000'000'000 / ticks_per_second) * (living + 1);
  const nanoseconds missing = f.counted - (used + f.lost);
  if (missing > rounding) f.lost += missing;
  f.counted = std::max(f.counted, used + f.lost);
}

// The CPU time of it and of the descendants it has waited for; nothing when it is no more.
std::optional<nanoseconds> process_sampler::state::sample_member(pid_t id, process_entry& process,
                                                                 process_times& now) {
  const auto clock = files.live() ? read_cpu_clock(clock_of::process, id) : std::nullopt;
  const auto text = process.stat.read(files, buffer);
  const auto stat = text ? parse_process_stat(*text, ticks_per_second) : std::nullopt;
  if (!stat) {
    // Without /proc there is the clock, and with it nobody else's can be mistaken for it.
    if (!clock || process.started != 0 || files.exists("proc/self/stat")) return std::nullopt;
    ++now.processes;
    ++now.threads;
    return clock;
  }
  if (process.started != 0 && process.started != stat->started) return std::nullopt;
  process.started = stat->started;

  nanoseconds used = stat->used;
  if (!stat->has_ended()) {
    ++now.processes;
    now.threads += stat->threads;
    find_threads(id, process, stat->threads);
    used = std::max(used, read_books(process));
    count_states(id, stat->state, process, now);
  }
  if (clock) used = *clock;
  return kin == kinship::alone ? used : used + stat->reaped;
}

void process_sampler::state::find_threads(pid_t id, process_entry& process, int expected) {
  auto& threads = process.threads;
  const std::string directory = directory_of(id) + "/task";
  const auto add = [&](pid_t thread) {
    threads.try_emplace(thread, directory + '/' + std::to_string(thread));
  };
  if (expected <= 1 && threads.size() <= 1) {
    add(id);
    return;
  }
  const std::vector<pid_t> there = list_threads(id, files);
  for (auto known = threads.begin(); known != threads.end();)
    known = std::binary_search(there.begin(), there.end(), known->first) ? std::next(known)
                                                                         : threads.erase(known);
  for (const pid_t thread : there) add(thread);
}

// Adds up what is new in them, and returns the CPU time of these threads.
nanoseconds process_sampler::state::read_books(process_entry& process) {
  nanoseconds running{};
  if (!knows_waiting) return running;
  for (auto& [id, thread] : process.threads) {
    const auto text = thread.books.read(files, buffer);
    const auto books = text ? parse_schedstat(*text) : std::nullopt;
    if (!books) continue;
    if (books->waiting < thread.last.waiting || books->slices < thread.last.slices)
      thread.last = {};  // another thread has the number
    totals.waiting += books->waiting - thread.last.waiting;
    totals.slices += books->slices - thread.last.slices;
    thread.last = *books;
    running += books->running;
  }
  return running;
}

void process_sampler::state::count_states(pid_t leader, char state_of_leader,
                                          process_entry& process, process_times& now) {
  for (auto& [id, thread] : process.threads) {
    char letter = state_of_leader;
    if (id != leader) {
      const auto text = thread.stat.read(files, buffer);
      const auto stat = text ? parse_process_stat(*text, ticks_per_second) : std::nullopt;
      if (!stat) continue;
      letter = stat->state;
    }
    if (letter == 'R') ++now.runnable;
    if (letter == 'D') ++now.disk_sleep;
  }
}

void process_sampler::state::find_children(pid_t id, process_entry& process,
                                           std::vector<pid_t>& found) {
  if (!lists_children) {
    const auto [begin, end] = children_by_scan.equal_range(id);
    for (auto child = begin; child != end; ++child) found.push_back(child->second);
    return;
  }
  for (auto& [thread_id, thread] : process.threads) {
    const auto text = thread.children.read(files, buffer);
    if (!text) continue;
    for (std::string_view rest = *text; !trim(rest).empty();)
      if (const auto child = parse_number<pid_t>(take_word(rest))) found.push_back(*child);
  }
}

process_sampler::process_sampler(kinship of, const tree& files)
    : state_(std::make_unique<state>()) {
  state_->kin = of;
  state_->files = files;
  state_->knows_waiting = read_own_schedstat(files).has_value();
  state_->lists_children = files.exists("proc/thread-self/children");
}

process_sampler::process_sampler(process_sampler&&) noexcept = default;
process_sampler& process_sampler::operator=(process_sampler&&) noexcept = default;
process_sampler::~process_sampler() = default;

void process_sampler::add(pid_t child) {
  const auto [known, is_new] = state_->families.try_emplace(child);
  if (is_new) known->second.members.try_emplace(child, directory_of(child));
}

void process_sampler::retire(pid_t child, std::optional<nanoseconds> total) {
  const auto known = state_->families.find(child);
  if (known == state_->families.end()) return;
  state_->retired += std::max(known->second.counted, total.value_or(nanoseconds{}));
  state_->families.erase(known);
}

bool process_sampler::knows_waiting() const noexcept { return state_->knows_waiting; }

std::optional<child_times> process_sampler::of(pid_t child) const {
  const auto known = state_->families.find(child);
  if (known == state_->families.end()) return std::nullopt;
  return child_times{known->second.counted, known->second.waiting};
}

process_times process_sampler::sample() {
  state& s = *state_;
  if (s.kin == kinship::descendants && !s.lists_children && !s.families.empty())
    s.scan_for_children();
  process_times now;
  now.running = s.retired;
  for (auto& [child, f] : s.families) {
    s.sample_family(child, f, now);
    now.running += f.counted;
  }
  now.waiting = s.totals.waiting;
  now.slices = s.totals.slices;
  return now;
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
