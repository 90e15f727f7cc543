#include <heddle/data/cache_options.hpp>
#include <heddle/data/flight.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/short_lock.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

// Who waits for whom, over all caches: an edge from each thread that waits for a computation to the
// leader of that computation. They form no circle, because nobody adds one that closes it, and a
// leader changes only to a thread that does not wait. Taken inside the lock of a part of a cache.
constinit prim::short_lock edges_lock;
constinit prim::atomic<flight_waiter*> edges{nullptr};

#if !HEDDLE_MODEL
void before_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { edges_lock.lock(); }
void after_fork() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { edges_lock.unlock(); }
void after_fork_in_child() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  edges.store(nullptr, prim::relaxed);  // the waiting threads are the parent's
  edges_lock.unlock();
}

const prim::fork_part in_forks(&before_fork, &after_fork, &after_fork_in_child);
#endif

flight_waiter* edge_from(std::uint32_t thread) noexcept HEDDLE_REQUIRES(edges_lock) {
  flight_waiter* e = edges.load(prim::relaxed);
  while (e != nullptr && e->thread != thread) e = e->next_edge;
  return e;
}

void remove_edge(flight_waiter& w) noexcept HEDDLE_REQUIRES(edges_lock) {
  flight_waiter* e = edges.load(prim::relaxed);
  if (e == &w) {
    edges.store(w.next_edge, prim::relaxed);
    return;
  }
  while (e->next_edge != &w) e = e->next_edge;
  e->next_edge = w.next_edge;
}

// Where the leader has forked the process off, those who waited for it are the parent's: the child
// has neither their edges nor, for long, their stacks.
void forget_waiters_of_parent(flight& f) noexcept {
  if (f.generation == prim::fork_generation()) [[likely]]
    return;
  f.generation = prim::fork_generation();
  f.first = f.last = nullptr;
}

}  // namespace

void flight_list::begin(flight& f) noexcept {
  f.leader = prim::thread_number();
  f.generation = prim::fork_generation();
  f.listed = true;
  f.next = first_;
  first_ = &f;
}

void flight_list::unlink(flight& f) noexcept {
  if (first_ == &f) {
    first_ = f.next;
  } else {
    flight* before = first_;
    while (before->next != &f) before = before->next;
    before->next = f.next;
  }
  f.listed = false;
}

void flight_list::drop(flight& f) noexcept { unlink(f); }

attachment flight_list::attach(flight& f, flight_waiter& w) noexcept {
  w.thread = prim::thread_number();
  const prim::scoped_lock lock(edges_lock);
  for (std::uint32_t t = f.leader; t != w.thread;) {
    const flight_waiter* const e = edge_from(t);
    if (e == nullptr) {
      forget_waiters_of_parent(f);
      w.leader.store(f.leader, prim::relaxed);
      w.next_edge = edges.load(prim::relaxed);
      edges.store(&w, prim::relaxed);
      w.in = &f;
      w.before = f.last;
      w.next = nullptr;
      (f.last != nullptr ? f.last->next : f.first) = &w;
      f.last = &w;
      return attachment::waits;
    }
    t = e->leader.load(prim::relaxed);
  }
  return f.leader == w.thread ? attachment::own : attachment::circle;
}

bool flight_list::withdraw(flight_waiter& w) noexcept {
  if (w.in == nullptr) return false;
  (w.before != nullptr ? w.before->next : w.in->first) = w.next;
  (w.next != nullptr ? w.next->before : w.in->last) = w.before;
  w.in = nullptr;
  const prim::scoped_lock lock(edges_lock);
  remove_edge(w);
  return true;
}

bool flight_list::end(flight& f) noexcept {
  const bool may_be_kept = f.listed;
  if (f.listed) unlink(f);
  forget_waiters_of_parent(f);
  if (f.first == nullptr) return may_be_kept;
  const prim::scoped_lock lock(edges_lock);
  for (flight_waiter* w = f.first; w != nullptr; w = w->next) {
    w->in = nullptr;
    remove_edge(*w);
  }
  return may_be_kept;
}

flight_waiter* flight_list::hand_over(flight& f) noexcept {
  forget_waiters_of_parent(f);
  flight_waiter* const heir = f.first;
  if (heir == nullptr || !f.listed) {
    end(f);
    return nullptr;
  }
  unlink(f);
  heir->own.hash = f.hash;
  heir->own.first = heir->next;
  heir->own.last = heir->next != nullptr ? f.last : nullptr;
  f.first = f.last = nullptr;
  if (heir->next != nullptr) heir->next->before = nullptr;
  heir->in = nullptr;
  begin(heir->own);
  heir->own.leader = heir->thread;
  heir->end.set(flight_end::lead);
  const prim::scoped_lock lock(edges_lock);
  remove_edge(*heir);
  for (flight_waiter* w = heir->own.first; w != nullptr; w = w->next) {
    w->in = &heir->own;
    w->leader.store(heir->thread, prim::relaxed);
  }
  return heir;
}

wait_record flight_record(const flight_waiter& w, const wait_limit& limit, const void* cache,
                          const char* name) noexcept {
  wait_record record = limit.record(wait_kind::lazy, cache, name);
  record.held = &w;
  record.owner = [](const void* waiter) noexcept {
    return static_cast<const flight_waiter*>(waiter)->leader.load(prim::relaxed);
  };
  return record;
}

void refuse_recursion(attachment a) {
  if (a == attachment::own) {
    throw recursive_computation("cache: the computation of a value needs that very value");
  }
  if (a == attachment::circle) {
    throw recursive_computation(
        "cache: the computation of a value needs one whose computation, on another thread, waits "
        "for it");
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
