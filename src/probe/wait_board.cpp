#include <heddle/probe/wait_board.hpp>

#if !HEDDLE_MODEL

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/probe/lock_probe.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "probe/seen_waits.hpp"

// A slot belongs to one thread at a time, is never freed, and is in a list that only grows: it
// serves threads that outlive static destruction. Memory comes from malloc, so that nobody who
// counts or limits what the program allocates meets it at a wait.

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// What a thread knows that it took and gave, the newest in place of the oldest.
struct use_list {
  struct entry {
    lock_probe* object = nullptr;  // null: free
    std::int64_t held = 0;
    bool took = false;
    bool gave = false;
  };

  entry* find(const lock_probe& object) noexcept {
    if (entries[last].object == &object) return &entries[last];
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].object != &object) continue;
      last = i;
      return &entries[i];
    }
    return nullptr;
  }
  entry& add(lock_probe& object) noexcept {
    next = (next + 1) % entries.size();
    last = next;
    give_up(entries[last]);
    entries[last].object = &object;
    return entries[last];
  }
  void clear() noexcept { entries.fill({}); }
  void give_up_all() noexcept {
    for (entry& e : entries) give_up(e);
  }
  // Nobody will know any more what the thread did with this object.
  static void give_up(entry& e) noexcept {
    if (e.object != nullptr) e.object->note_unknown_user();
    e = {};
  }

  std::array<entry, 64> entries{};
  std::size_t last = 0;
  std::size_t next = 0;
};

}  // namespace

// What the lock guards is written by the thread whose slot it is, but for uses of objects that end.
struct alignas(destructive_interference) wait_slot final : prim::thread_exit_hook {
  wait_slot() noexcept : prim::thread_exit_hook(&thread_ends) {}
  static void thread_ends(prim::thread_exit_hook* hook) noexcept;

  // By the thread to whom it is given.
  void adopt() noexcept {
    const prim::scoped_lock held(lock);
    thread = prim::thread_number();
    kernel_thread_id = prim::kernel_thread_id();
  }
  seen_wait look(const published_wait& wait) const HEDDLE_REQUIRES(lock);
  bool interrupt(std::uint32_t number, std::uint64_t serial, char* verdict) noexcept;
  // In a child, which has one thread.
  void survive_fork(bool is_own) noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS;

  prim::short_lock lock;
  published_wait* innermost HEDDLE_GUARDED_BY(lock) = nullptr;
  std::uint64_t last_serial HEDDLE_GUARDED_BY(lock) = 0;
  std::uint32_t thread HEDDLE_GUARDED_BY(lock) = 0;  // 0: nobody's
  int kernel_thread_id HEDDLE_GUARDED_BY(lock) = 0;
  use_list* uses HEDDLE_GUARDED_BY(lock) = nullptr;  // made when needed
  const worker_mark* worker HEDDLE_GUARDED_BY(lock) = nullptr;

  prim::atomic<bool> taken{true};
  wait_slot* next = nullptr;  // fixed once others can see the slot
};

namespace {

constinit prim::atomic<wait_slot*> board{nullptr};

template <class F>
void for_each_slot(F f) {
  for (wait_slot* s = board.load(prim::acquire); s != nullptr; s = s->next) f(*s);
}

void after_fork_in_child() {
  const void* const own = prim::thread_value(prim::thread_slot::wait_slot);
  for_each_slot([own](wait_slot& s) { s.survive_fork(&s == own); });
}

const prim::fork_part in_forks(nullptr, nullptr, &after_fork_in_child);

// One that an ended thread left, or a new one. Throws std::bad_alloc.
wait_slot* take_slot() {
  for (wait_slot* s = board.load(prim::acquire); s != nullptr; s = s->next) {
    if (!s->taken.load(prim::relaxed) && !s->taken.exchange(true, prim::acquire)) return s;
  }
  void* const memory = std::aligned_alloc(alignof(wait_slot), sizeof(wait_slot));
  if (memory == nullptr) throw std::bad_alloc();
  auto* const made = ::new (memory) wait_slot;
  made->next = board.load(prim::relaxed);
  while (!board.compare_exchange_weak(made->next, made, prim::release, prim::relaxed)) {
  }
  return made;
}

[[gnu::noinline]] wait_slot* first_use() noexcept {
  try {
    wait_slot* const mine = take_slot();
    try {
      prim::at_thread_exit(*mine);
    } catch (...) {
      mine->taken.store(false, prim::release);
      throw;
    }
    mine->adopt();
    prim::thread_value(prim::thread_slot::wait_slot) = mine;
    return mine;
  } catch (...) {
    return nullptr;
  }
}

// Null without memory.
wait_slot* own_slot() noexcept {
  void* const known = prim::thread_value(prim::thread_slot::wait_slot);
  return known != nullptr ? static_cast<wait_slot*>(known) : first_use();
}

void copy(const char* from, seen_wait::short_text& to) noexcept {
  if (from == nullptr) return;
  for (std::size_t i = 0; i + 1 < to.size() && from[i] != '\0'; ++i) to[i] = from[i];
}

}  // namespace

void wait_slot::thread_ends(prim::thread_exit_hook* hook) noexcept {
  auto* const self = static_cast<wait_slot*>(hook);
  prim::thread_value(prim::thread_slot::wait_slot) = nullptr;
  {
    const prim::scoped_lock held(self->lock);
    self->thread = 0;
    if (self->uses != nullptr) self->uses->give_up_all();
  }
  self->taken.store(false, prim::release);
}

// The others' locks may be held by threads that are not here, and what they guard half written. So
// may this thread's own be, by one that looked.
void wait_slot::survive_fork(bool is_own) noexcept {
  std::destroy_at(&lock);
  std::construct_at(&lock);
  if (is_own) {
    kernel_thread_id = prim::kernel_thread_id();
    worker = nullptr;  // of a pool that is not here
    return;
  }
  innermost = nullptr;
  thread = 0;
  worker = nullptr;
  if (uses != nullptr) uses->clear();
  taken.store(false, prim::relaxed);
}

seen_wait wait_slot::look(const published_wait& wait) const {
  const wait_record& r = *wait.record_;
  seen_wait s;
  s.thread = thread;
  s.kernel_thread_id = kernel_thread_id;
  s.serial = wait.serial_;
  s.kind = r.kind;
  s.object = r.object;
  copy(r.name, s.name);
  s.since = r.since;
  s.ends_by_itself = r.deadline != prim::never || r.stoppable;
  s.over = r.over != nullptr && r.over(r);
  s.nested = wait.outer_ != nullptr;
  s.interruptible = r.interrupt != nullptr && !s.nested;
  s.has_owner = r.owner != nullptr;
  s.owner = heddle::owner(r);
  s.rescuers = r.rescuers;
  s.units = r.units;
  if (r.probe != nullptr) s.acquisitions = r.probe->acquisitions();
  s.is_choice = r.alternative != nullptr;
  while (s.is_choice) {
    const void* const event = r.alternative(r, s.alternative_count);
    if (event == nullptr) break;
    if (s.alternative_count == s.alternatives.size()) {
      s.alternative_count = 0;  // too many to follow
      break;
    }
    s.alternatives[s.alternative_count++] = event;
  }
  for (const running_task* t = wait.tasks_; t != nullptr; t = t->outer) {
    if (t->name == nullptr) {
      s.executor = t->fulfils;
      copy(static_cast<const worker_mark*>(t)->executor_name, s.executor_name);
    } else if (s.task_count < s.tasks.size()) {
      s.tasks[s.task_count++] = {t->name, t->fulfils};
    }
  }
  return s;
}

void show_worker(const worker_mark* mark) noexcept {
  wait_slot* const mine = own_slot();
  if (mine == nullptr) return;
  const prim::scoped_lock held(mine->lock);
  mine->worker = mark;
}

void published_wait::begin(wait_record& record) noexcept {
  wait_slot* const mine = own_slot();
  if (mine == nullptr) return;
  slot_ = mine;
  record_ = &record;
  tasks_ = current_task(prim::thread_values());
  const prim::scoped_lock held(mine->lock);
  serial_ = ++mine->last_serial;
  outer_ = mine->innermost;
  mine->innermost = this;
}

void published_wait::end() noexcept {
  if (slot_ == nullptr) return;
  const prim::scoped_lock held(slot_->lock);
  slot_->innermost = outer_;
}

std::vector<seen_wait> waits_of_all_threads() {
  std::vector<seen_wait> waits;
  for_each_slot([&waits](wait_slot& s) {
    seen_wait seen;
    {
      const prim::scoped_lock held(s.lock);
      if (s.thread == 0 || s.innermost == nullptr) return;
      seen = s.look(*s.innermost);
    }
    waits.push_back(seen);
  });
  return waits;
}

std::vector<seen_thread> threads_on_the_board() {
  std::vector<seen_thread> threads;
  for_each_slot([&threads](wait_slot& s) {
    seen_thread seen{};
    {
      const prim::scoped_lock held(s.lock);
      seen = {s.thread, s.kernel_thread_id, s.worker != nullptr, 0};
      if (s.worker != nullptr) seen.level = s.worker->level;
    }
    if (seen.number != 0) threads.push_back(seen);
  });
  return threads;
}

std::vector<seen_use> uses_of(std::span<const lock_probe* const> objects) {
  std::vector<seen_use> all;
  if (objects.empty()) return all;
  std::vector<seen_use> of_one;
  for_each_slot([&](wait_slot& s) {
    of_one.clear();
    of_one.reserve(64);
    {
      const prim::scoped_lock held(s.lock);
      if (s.thread == 0 || s.uses == nullptr) return;
      for (const use_list::entry& e : s.uses->entries) {
        if (e.object == nullptr || std::ranges::find(objects, e.object) == objects.end()) continue;
        if (e.object->has_unknown_users()) continue;
        of_one.push_back({e.object, s.thread, e.held, e.took, e.gave});
      }
    }
    all.insert(all.end(), of_one.begin(), of_one.end());
  });
  return all;
}

bool wait_slot::interrupt(std::uint32_t number, std::uint64_t serial, char* verdict) noexcept {
  const prim::scoped_lock held(lock);
  const published_wait* const w = innermost;
  if (thread != number || w == nullptr || w->serial_ != serial || w->outer_ != nullptr)
    return false;
  wait_record& r = *w->record_;
  return r.interrupt != nullptr && r.interrupt(r, verdict);
}

bool interrupt_wait(std::uint32_t thread, std::uint64_t serial, char* verdict) noexcept {
  bool done = false;
  for_each_slot([&](wait_slot& s) { done = done || s.interrupt(thread, serial, verdict); });
  return done;
}

void note_use(lock_probe& object, std::int64_t taken) noexcept {
  wait_slot* const mine = own_slot();
  if (mine == nullptr) {
    object.note_unknown_user();
    return;
  }
  bool has_list = false;
  {
    const prim::scoped_lock held(mine->lock);
    has_list = mine->uses != nullptr;
  }
  if (!has_list) {
    void* const memory = std::malloc(sizeof(use_list));
    if (memory == nullptr) {
      object.note_unknown_user();
      return;
    }
    const prim::scoped_lock held(mine->lock);
    mine->uses = ::new (memory) use_list;
  }
  const prim::scoped_lock held(mine->lock);
  use_list::entry* e = mine->uses->find(object);
  if (e == nullptr) e = &mine->uses->add(object);
  e->held += taken;
  (taken > 0 ? e->took : e->gave) = true;
}

void forget_uses_of(const lock_probe& object) noexcept {
  for_each_slot([&object](wait_slot& s) {
    const prim::scoped_lock held(s.lock);
    if (s.uses == nullptr) return;
    if (use_list::entry* const e = s.uses->find(object)) *e = {};
  });
}

void forget_all_uses() noexcept {
  for_each_slot([](wait_slot& s) {
    const prim::scoped_lock held(s.lock);
    if (s.uses != nullptr) s.uses->clear();
  });
}

}  // namespace heddle::inline HEDDLE_ABI::detail

#endif
