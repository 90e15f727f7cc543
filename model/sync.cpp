// Locks, condition variables, parkers, threads, and what else a thread has.

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread_local.hpp>

#include "engine.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace model::detail {
namespace {

using waits = thread_record::waits;

[[noreturn]] void outside(const char* what) noexcept {
  std::fprintf(stderr,
               "heddle: %s outside of heddle::model::explore, where no threads are modelled\n",
               what);
  std::abort();
}

bool has_readers(const object_record& o) noexcept { return o.readers.any(); }

// One operation on an object, before which others may run; unless the operation has to wait at once
// (the predicate says so of the object), because then they run anyway.
class operation {
 public:
  template <class Predicate>
  operation(handle& h, object_kind kind, const void* address, where w, Predicate waits_at_once)
      : engine_(*current) {
    object_ = &engine_.object(h, kind, address, 0, w);
    if (waits_at_once(*object_)) {
      engine_.step_alone(w);
    } else {
      engine_.step(w);
      object_ = &engine_.object(h, kind, address, 0, w);  // it may have died meanwhile
    }
    engine_.touch(*object_, w);
  }
  operation(handle& h, object_kind kind, const void* address, where w)
      : operation(h, kind, address, w, [](const object_record&) { return false; }) {}
  ~operation() { engine_.end_operation(); }
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  object_record* operator->() const noexcept { return object_; }
  object_record& operator*() const noexcept { return *object_; }
  engine& run() const noexcept { return engine_; }
  std::uint32_t index() const noexcept {
    return static_cast<std::uint32_t>(object_ - &engine_.objects[0]);
  }
  void log(const char* what) const {
    if (engine_.logging) engine_.log(engine_.name_of(*object_) + " " + what);
  }

 private:
  engine& engine_;
  object_record* object_;
};

std::uint32_t index_of(engine& e, const object_record& o) noexcept {
  return static_cast<std::uint32_t>(&o - &e.objects[0]);
}

void take_lock(engine& e, object_record& o) {
  while (o.owner >= 0 || has_readers(o)) e.block(waits::lock, index_of(e, o));
  o.owner = static_cast<std::int8_t>(e.self);
  e.threads[e.self].now.join(o.handed_on);
  if (o.newest != nullptr) e.threads[e.self].now.join(o.newest->released);
}

void give_lock(engine& e, object_record& o) noexcept {
  const view& now = e.threads[e.self].now;
  o.owner = -1;
  o.handed_on.join(now);
  o.written = now.happened[e.self];
  o.written_in = static_cast<std::uint8_t>(e.self);
  e.end_operation();
  e.wake_waiting(waits::lock, index_of(e, o));
}

// Readers hand on to writers alone: nothing orders two readers.
void give_shared_lock(engine& e, object_record& o) {
  if (o.newest == nullptr) o.newest = &e.make_store();
  o.readers[e.self] = 0;
  o.newest->released.join(e.threads[e.self].now);
  e.end_operation();
  e.wake_waiting(waits::lock, index_of(e, o));
}

// A try_lock of a free lock may fail for nothing, or since it still seems held to this thread: the
// unlock does not happen before. The latter also stands for a try_lock inside of a section that
// others have no chance to interrupt, since nothing in it nor its unlock is a choice point.
bool fails_though_free(engine& e, const object_record& o, bool shared) {
  const lanes& happened = e.threads[e.self].now.happened;
  bool known = happened[o.written_in] >= o.written;
  if (!shared && o.newest != nullptr) known &= happened.covers_all(o.newest->released.happened);
  const bool stale = !known && e.left.stale_reads != 0;
  return e.happens(choice_kind::failure, stale ? e.left.stale_reads : e.left.spurious_failures);
}

void check_owner(engine& e, const object_record& o, where w) {
  if (o.owner == static_cast<int>(e.self)) return;
  e.fail_at("unlock of " + e.name_of(o) + ", which this thread does not hold", w);
}

}  // namespace

// Locks.

void lock(handle& h, object_kind kind, const void* address, where w) noexcept {
  operation x(h, kind, address, w,
              [](const object_record& o) { return o.owner >= 0 || has_readers(o); });
  if (x->owner == static_cast<int>(x.run().self) || x->readers[x.run().self] != 0) {
    x.run().fail_at("lock of " + x.run().name_of(*x) + ", which this thread holds already", w);
  }
  take_lock(x.run(), *x);
  x.log("lock");
}

bool try_lock(handle& h, object_kind kind, const void* address, where w) noexcept {
  operation x(h, kind, address, w);
  if (x->owner >= 0 || has_readers(*x) || fails_though_free(x.run(), *x, false)) {
    x.log("try_lock fails");
    return false;
  }
  take_lock(x.run(), *x);
  x.log("try_lock");
  return true;
}

// No choice point before it: whoever could run now can as well run before this thread's next
// operation, and see no difference.
void unlock(handle& h, object_kind kind, const void* address, where w) noexcept {
  engine& e = *current;
  object_record& o = e.object(h, kind, address, 0, w);
  check_owner(e, o, w);
  e.threads[e.self].last = w;
  e.touch(o, w);
  if (e.logging) e.log(e.name_of(o) + " unlock");
  give_lock(e, o);
}

void lock_shared(handle& h, const void* address, where w) noexcept {
  operation x(h, object_kind::shared_mutex, address, w,
              [](const object_record& o) { return o.owner >= 0; });
  engine& e = x.run();
  if (x->owner == static_cast<int>(e.self) || x->readers[e.self] != 0) {
    e.fail_at("shared lock of " + e.name_of(*x) + ", which this thread holds already", w);
  }
  while (x->owner >= 0) e.block(waits::lock, x.index());
  x->readers[e.self] = 1;
  e.threads[e.self].now.join(x->handed_on);
  x.log("lock_shared");
}

bool try_lock_shared(handle& h, const void* address, where w) noexcept {
  operation x(h, object_kind::shared_mutex, address, w);
  engine& e = x.run();
  if (x->owner >= 0 || fails_though_free(e, *x, true)) {
    x.log("try_lock_shared fails");
    return false;
  }
  x->readers[e.self] = 1;
  e.threads[e.self].now.join(x->handed_on);
  x.log("try_lock_shared");
  return true;
}

void unlock_shared(handle& h, const void* address, where w) noexcept {
  engine& e = *current;
  object_record& o = e.object(h, object_kind::shared_mutex, address, 0, w);
  if (o.readers[e.self] == 0) {
    e.fail_at("shared unlock of " + e.name_of(o) + ", which this thread does not hold", w);
  }
  e.threads[e.self].last = w;
  e.touch(o, w);
  if (e.logging) e.log(e.name_of(o) + " unlock_shared");
  give_shared_lock(e, o);
}

// Timed waits. That one ends without its event is decided when it begins: from then on the thread
// can run, and when it does, the deadline has come. If nothing else can run, time passes anyway.

bool park(handle& h, const void* address, std::int64_t deadline, where w) noexcept {
  if (!executing) outside("park");
  operation x(h, object_kind::parker, address, w,
              [&](const object_record& o) { return !o.token && deadline == no_deadline; });
  engine& e = x.run();
  thread_record& t = e.threads[e.self];
  if (x->owner >= 0) e.fail_at("two threads park in " + e.name_of(*x), w);
  if (!x->token && deadline > e.time) {
    x.log("parks");
    x->owner = static_cast<std::int8_t>(e.self);
    if (deadline != no_deadline && e.happens(choice_kind::timeout, e.left.timeouts)) {
      e.hand_over(false);
      if (!x->token) e.pass_time(deadline);
    } else {
      do {
        e.block(waits::token, x.index(), deadline);
      } while (!x->token && !t.timed_out);
    }
    x->owner = -1;
  }
  if (!x->token) {
    x.log("times out");
    return false;
  }
  x->token = false;
  t.now.join(x->handed_on);
  x.log("takes the token");
  return true;
}

void unpark(handle& h, const void* address, where w) noexcept {
  if (!executing) outside("unpark");
  operation x(h, object_kind::parker, address, w);
  x->token = true;
  x->handed_on.join(x.run().threads[x.run().self].now);
  x.run().wake_waiting(waits::token, x.index());
  x.log("unpark");
}

bool wait(handle& h, const void* address, handle& mutex, const void* mutex_address,
          std::int64_t deadline, where w) noexcept {
  if (!executing) outside("wait");
  operation x(h, object_kind::condition_variable, address, w);
  engine& e = x.run();
  thread_record& t = e.threads[e.self];
  object_record& m = e.object(mutex, object_kind::mutex, mutex_address, 0, w);
  check_owner(e, m, w);
  x.log("waits");
  t.notified = false;
  bool in_time = true;
  give_lock(e, m);
  if (e.happens(choice_kind::failure, e.left.spurious_failures)) {
    e.hand_over(false);
    x.log("wakes for nothing");
  } else if (deadline <= e.time) {
    in_time = false;
  } else if (deadline != no_deadline && e.happens(choice_kind::timeout, e.left.timeouts)) {
    e.hand_over(false);
    e.pass_time(deadline);
    in_time = false;
  } else {
    do {
      e.block(waits::notification, x.index(), deadline);
    } while (!t.notified && !t.timed_out);
    in_time = t.notified;
  }
  take_lock(e, m);
  // The deadline may pass between the notification and here, and then it is as if none had come.
  if (t.notified && deadline != no_deadline &&
      (deadline <= e.time || e.happens(choice_kind::timeout, e.left.timeouts))) {
    e.pass_time(deadline);
    in_time = false;
  }
  x.log(in_time ? "wait ends" : "wait times out");
  return in_time;
}

void notify(handle& h, const void* address, bool all, where w) noexcept {
  if (!executing) outside("notify");
  operation x(h, object_kind::condition_variable, address, w);
  engine& e = x.run();
  x.log(all ? "notify_all" : "notify_one");
  unsigned waiting[max_threads];
  unsigned count = 0;
  for (unsigned i = 0; i < e.thread_count; ++i) {
    const thread_record& t = e.threads[i];
    if (t.waiting == waits::notification && t.waited_object == x.index() && !t.notified &&
        !t.timed_out) {
      waiting[count++] = i;
    }
  }
  if (count == 0) return;
  const unsigned chosen = all ? 0 : e.choose(choice_kind::waiter, count, count);
  for (unsigned i = all ? 0 : chosen; i < (all ? count : chosen + 1); ++i) {
    e.threads[waiting[i]].notified = true;
    e.wake(waiting[i]);
  }
}

void give_up_reference(handle& h, const void* address) noexcept {
  engine& e = *current;
  object_record& o = e.object(h, object_kind::reference_count, address, 0, where{});
  e.touch(o, where{});
  o.handed_on.join(e.threads[e.self].now);
  e.threads[e.self].now.join(o.handed_on);
  e.end_operation();
}

// Threads.

unsigned prepare_thread(where w) {
  if (!executing) throw std::logic_error("heddle: a modelled thread outside of an execution");
  engine& e = *current;
  e.step_alone(w);
  if (e.happens(choice_kind::failure, e.left.allocation_failures)) {
    if (e.logging) e.log("is refused a thread");
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "heddle::prim::thread");
  }
  return e.prepare_thread(w);
}

void* callable_memory(unsigned thread) noexcept { return current->places[thread].callable; }
void start_thread(unsigned thread, thread_entry entry) noexcept {
  current->start_thread(thread, entry);
}
void forget_thread(unsigned thread) noexcept { current->forget_thread(thread); }

void join_thread(unsigned thread, where w) {
  if (!executing) outside("join");
  engine& e = *current;
  if (thread == e.self) e.fail_at("a thread joins itself", w);
  e.step_alone(w);
  while (e.threads[thread].state != thread_record::status::finished) {
    e.block(waits::thread_end, thread);
  }
  e.threads[e.self].now.join(e.threads[thread].now);
  if (e.logging) e.log("joins T" + std::to_string(thread));
  e.end_operation();
}

void detach_thread(unsigned) noexcept {}
unsigned current_thread() noexcept { return executing ? current->self : 0; }
void yield(where w) noexcept { current->yield(w); }

std::int64_t clock_now() noexcept { return executing ? current->time++ : 1'000'000'000; }

void misuse(std::string_view message, where w) noexcept {
  if (!executing) outside("misuse of a modelled object");
  current->fail_at(std::string(message), w);
}

}  // namespace model::detail

namespace prim {

void*& thread_value(thread_slot slot) noexcept {
  return thread_values()[static_cast<unsigned>(slot)];
}

void** thread_values() noexcept {
  static void* outside_of_executions[static_cast<unsigned>(thread_slot::count)];
  if (!model::detail::executing) return outside_of_executions;
  model::detail::engine& e = *model::detail::current;
  return e.threads[e.self].values;
}

void at_thread_exit(thread_exit_hook& hook) {
  if (!model::detail::executing) return;  // the main thread's hooks do not run
  model::detail::engine& e = *model::detail::current;
  thread_exit_hook*& newest = e.threads[e.self].exit_hooks;
  hook.next = newest;
  newest = &hook;
}

// splitmix64 of a counter that starts anew in each execution.
std::uint64_t next_seed() noexcept {
  std::uint64_t z = 0x9E3779B97F4A7C15ULL;
  if (model::detail::executing) z *= ++model::detail::current->seeds;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::uint32_t thread_number() noexcept {
  return model::detail::executing ? model::detail::current_thread() : 0;
}

}  // namespace prim
}  // namespace heddle::inline HEDDLE_ABI
