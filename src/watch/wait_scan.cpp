#include "watch/wait_scan.hpp"

#include <heddle/base/task_name.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/names.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <unordered_map>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

std::vector<seen_use> uses_in(const std::vector<seen_wait>& waits) {
  std::vector<const lock_probe*> objects;
  for (const seen_wait& w : waits) {
    if (w.rescuers != nullptr && !w.over) objects.push_back(w.rescuers);
  }
  std::ranges::sort(objects);
  objects.erase(std::unique(objects.begin(), objects.end()), objects.end());
  return uses_of(objects);
}

// Whether anybody could keep it for ever.
bool may_last(const seen_wait& w) noexcept { return !w.ends_by_itself && !w.over; }

}  // namespace

thread_naming::thread_naming() {
  for (const thread_name& t : thread_names()) named_[t.number] = t.name;
  for (const seen_thread& t : threads_on_the_board()) kernel_ids_[t.number] = t.kernel_thread_id;
}

std::string thread_naming::name(std::uint32_t number) const {
  const auto known = kernel_ids_.find(number);
  return name(number, known == kernel_ids_.end() ? 0 : known->second);
}

std::string thread_naming::name(std::uint32_t number, int kernel_thread_id) const {
  if (const auto known = named_.find(number); known != named_.end()) return known->second;
  if (kernel_thread_id != 0) {
    std::ifstream file("/proc/self/task/" + std::to_string(kernel_thread_id) + "/comm");
    std::string name;
    if (std::getline(file, name) && !name.empty()) return name;
  }
  return "thread " + std::to_string(number);
}

wait_scan::wait_scan() : waits_(waits_of_all_threads()) { resolve(uses_in(waits_)); }

wait_scan::wait_scan(std::vector<seen_wait> waits, const std::vector<seen_use>& uses)
    : waits_(std::move(waits)) {
  resolve(uses);
}

void wait_scan::resolve(const std::vector<seen_use>& uses) {
  needs_.resize(waits_.size());
  std::unordered_map<std::uint32_t, std::size_t> waiting;  // by thread
  std::unordered_multimap<const void*, std::size_t> fulfilling;
  for (std::size_t i = 0; i < waits_.size(); ++i) {
    const seen_wait& w = waits_[i];
    waiting.emplace(w.thread, i);
    for (std::size_t t = 0; t < w.task_count; ++t) {
      if (w.tasks[t].fulfils != nullptr) fulfilling.emplace(w.tasks[t].fulfils, i);
    }
    if (w.executor != nullptr && w.task_count > 0) fulfilling.emplace(w.executor, i);
  }
  // Those who must go on before the event can happen. A task that waits for the end of its pool's
  // other work is not waited for itself.
  const auto group_of = [&](const void* event, dependence& d) {
    std::vector<std::size_t> group;
    const auto [begin, end] = fulfilling.equal_range(event);
    for (auto at = begin; at != end; ++at) {
      const seen_wait& w = waits_[at->second];
      if (w.executor == event && w.object == event) continue;
      group.push_back(at->second);
      d.threads.push_back(w.thread);
    }
    return group;
  };
  const auto add_thread = [&](std::uint32_t thread, dependence& d) {
    d.threads.push_back(thread);
    const auto at = waiting.find(thread);
    if (at == waiting.end()) return false;
    d.groups.push_back({at->second});
    return true;
  };
  const auto clear_groups = [](dependence& d) {
    d.groups.clear();
    d.holders.clear();
  };

  for (std::size_t i = 0; i < waits_.size(); ++i) {
    const seen_wait& w = waits_[i];
    dependence& d = needs_[i];
    if (w.kind == wait_kind::external || w.over) continue;
    if (w.is_choice) {
      bool all_kept = w.alternative_count > 0;
      for (std::size_t a = 0; a < w.alternative_count; ++a) {
        d.groups.push_back(group_of(w.alternatives[a], d));
        all_kept = all_kept && !d.groups.back().empty();
      }
      if (!all_kept) clear_groups(d);
    } else if (w.has_owner) {
      // One who has been notified has the lock for a moment before it leaves the wait.
      const bool is_own = w.kind == wait_kind::condition && w.owner == w.thread;
      if (w.owner != 0 && !is_own) add_thread(w.owner, d);
    } else if (w.rescuers != nullptr) {
      d.are_suspects = true;
      const bool is_semaphore = w.kind == wait_kind::semaphore;
      const auto is_about_it = [&](const seen_use& u) { return u.object == w.rescuers; };
      const bool is_signal =
          is_semaphore && (w.units == 0 || std::ranges::any_of(uses, [&](auto& u) {
                             return is_about_it(u) && u.held < 0;
                           }));
      bool all_wait = true;
      for (const seen_use& u : uses) {
        if (!is_about_it(u) || u.thread == w.thread) continue;
        if (is_semaphore && !is_signal) {
          if (u.held <= 0) continue;
          d.threads.push_back(u.thread);
          const auto at = waiting.find(u.thread);
          if (at == waiting.end() || waits_[at->second].object == w.object) continue;
          d.holders.emplace_back(at->second, static_cast<std::uint64_t>(u.held));
          d.units = w.units;
        } else if (!is_semaphore || u.gave) {
          all_wait = add_thread(u.thread, d) && all_wait;
        }
      }
      if (!all_wait) clear_groups(d);
    } else if (w.object != nullptr) {
      std::vector<std::size_t> group = group_of(w.object, d);
      if (!group.empty()) d.groups.push_back(std::move(group));
    }
  }
}

bool wait_scan::is_stuck(std::size_t wait, const std::vector<bool>& so_far) const {
  const dependence& d = needs_[wait];
  if (!d.holders.empty()) {
    std::uint64_t held = 0;
    for (const auto& [holder, units] : d.holders) held += so_far[holder] ? units : 0;
    return held >= d.units;
  }
  return !d.groups.empty() && std::ranges::all_of(d.groups, [&](const auto& group) {
    return std::ranges::any_of(group, [&](std::size_t i) { return so_far[i]; });
  });
}

// The largest set of waits each of which is kept by others of the set: those that can go on are
// taken away, until none is left that can.
std::vector<bool> wait_scan::stuck(bool certain_only) const {
  std::vector<bool> result(waits_.size());
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < waits_.size(); ++i) {
    result[i] = may_last(waits_[i]) && !(certain_only && needs_[i].are_suspects);
    if (result[i]) left.push_back(i);
  }
  for (bool changed = true; changed;) {
    const auto gone = std::ranges::remove_if(left, [&](std::size_t i) {
      if (is_stuck(i, result)) return false;
      result[i] = false;
      return true;
    });
    changed = !gone.empty();
    left.erase(gone.begin(), gone.end());
  }
  return result;
}

std::vector<std::size_t> wait_scan::edges(std::size_t wait, const std::vector<bool>& among) const {
  std::vector<std::size_t> to;
  const auto add = [&](std::size_t i) {
    if (among[i] && std::ranges::find(to, i) == to.end()) to.push_back(i);
  };
  for (const auto& group : needs_[wait].groups) std::ranges::for_each(group, add);
  for (const auto& [holder, units] : needs_[wait].holders) add(holder);
  return to;
}

// The strongly connected components that have an edge inside, by Tarjan ("Depth-first search and
// linear graph algorithms", 1972), with a stack of its own.
std::vector<std::vector<std::size_t>> wait_scan::circles(const std::vector<bool>& among) const {
  constexpr std::size_t unseen = 0;
  struct visit {
    std::size_t wait;
    std::vector<std::size_t> to;
    std::size_t next = 0;
  };
  std::vector<std::vector<std::size_t>> found;
  std::vector<std::size_t> order(waits_.size(), unseen);
  std::vector<std::size_t> lowest(waits_.size(), unseen);
  std::vector<bool> open(waits_.size());
  std::vector<std::size_t> path;
  std::vector<visit> visits;
  std::size_t count = 0;
  const auto enter = [&](std::size_t i) {
    order[i] = lowest[i] = ++count;
    open[i] = true;
    path.push_back(i);
    visits.push_back({i, edges(i, among)});
  };
  for (std::size_t root = 0; root < waits_.size(); ++root) {
    if (!among[root] || order[root] != unseen) continue;
    enter(root);
    while (!visits.empty()) {
      visit& v = visits.back();
      if (v.next < v.to.size()) {
        const std::size_t to = v.to[v.next++];
        if (order[to] == unseen) {
          enter(to);
        } else if (open[to]) {
          lowest[v.wait] = std::min(lowest[v.wait], order[to]);
        }
        continue;
      }
      const std::size_t i = v.wait;
      const bool waits_for_itself = std::ranges::find(v.to, i) != v.to.end();
      visits.pop_back();
      if (!visits.empty()) {
        std::size_t& above = lowest[visits.back().wait];
        above = std::min(above, lowest[i]);
      }
      if (lowest[i] != order[i]) continue;
      std::vector<std::size_t> component;
      do {
        component.push_back(path.back());
        open[path.back()] = false;
        path.pop_back();
      } while (component.back() != i);
      if (component.size() > 1 || waits_for_itself) found.push_back(std::move(component));
    }
  }
  return found;
}

std::vector<knot> wait_scan::knots() const {
  std::vector<knot> all;
  std::vector<bool> known(waits_.size());
  for (auto& circle : circles(stuck(true))) {
    for (const std::size_t i : circle) known[i] = true;
    all.push_back({std::move(circle), true});
  }
  for (auto& circle : circles(stuck(false))) {
    if (std::ranges::any_of(circle, [&](std::size_t i) { return known[i]; })) continue;
    all.push_back({std::move(circle), false});
  }
  return all;
}

wait_scan::signature wait_scan::sign(const knot& k) const {
  std::vector<bool> in(waits_.size());
  for (const std::size_t i : k.waits) in[i] = true;
  signature s;
  for (const std::size_t i : k.waits) {
    std::vector<std::uint32_t> to;
    for (const std::size_t j : edges(i, in)) to.push_back(waits_[j].thread);
    std::ranges::sort(to);
    s.emplace_back(id(i), std::move(to));
  }
  std::ranges::sort(s);
  return s;
}

std::vector<std::size_t> wait_scan::behind(const knot& k) const {
  const std::vector<bool> lasting = stuck(k.is_certain);
  std::vector<bool> reaches(waits_.size());
  for (const std::size_t i : k.waits) reaches[i] = true;
  std::vector<std::size_t> found;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < waits_.size(); ++i) {
      if (!lasting[i] || reaches[i] || edges(i, reaches).empty()) continue;
      reaches[i] = changed = true;
      found.push_back(i);
    }
  }
  return found;
}

waiting_thread wait_scan::describe(std::size_t wait, const thread_naming& names) const {
  const seen_wait& w = waits_[wait];
  const dependence& d = needs_[wait];
  waiting_thread t;
  t.number = w.thread;
  t.kernel_thread_id = w.kernel_thread_id;
  t.name = names.name(w.thread, w.kernel_thread_id);
  for (std::size_t i = 0; i < w.task_count; ++i) {
    t.tasks.emplace_back(readable_task_name(w.tasks[i].name));
  }
  t.pool = w.executor_name.data();
  t.kind = w.kind;
  t.object = w.object;
  t.object_name = w.name.data();
  t.waited = std::max<std::chrono::nanoseconds>(at_ - w.since, {});
  t.ends_by_itself = w.ends_by_itself;
  t.are_suspects = d.are_suspects;
  std::vector<std::uint32_t> threads = d.threads;
  std::ranges::sort(threads);
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  for (const std::uint32_t number : threads) t.awaits.push_back({number, names.name(number)});
  // The end of a pool's work has the name of the pool, which the pool's workers know.
  for (const seen_wait& other : waits_) {
    if (w.kind != wait_kind::event || w.object == nullptr || other.executor != w.object) continue;
    t.kind = wait_kind::shutdown;
    t.object_name = other.executor_name.data();
  }
  return t;
}

deadlock wait_scan::describe(const knot& k, const thread_naming& names) const {
  std::vector<bool> left(waits_.size());
  for (const std::size_t i : k.waits) left[i] = true;
  deadlock found;
  found.is_certain = k.is_certain;
  // Round a circle as far as it goes, beginning with the thread that is in it longest.
  std::size_t i =
      *std::ranges::min_element(k.waits, {}, [&](std::size_t j) { return waits_[j].since; });
  for (std::size_t count = 0; count < k.waits.size(); ++count) {
    found.threads.push_back(describe(i, names));
    left[i] = false;
    const std::vector<std::size_t> to = edges(i, left);
    if (!to.empty()) {
      i = to.front();
    } else if (const auto any = std::ranges::find_if(k.waits, [&](auto j) { return left[j]; });
               any != k.waits.end()) {
      i = *any;
    }
  }
  for (const std::size_t j : behind(k)) found.behind.push_back(describe(j, names));
  return found;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
