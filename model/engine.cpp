#include "engine.hpp"

#include <bit>
#include <cstdlib>
#include <exception>
#include <utility>

#include "heap.hpp"

namespace heddle::inline HEDDLE_ABI::model::detail {

bool executing = false;
engine* current = nullptr;

namespace {

constexpr std::size_t most_objects = 1u << 16;
constexpr std::size_t most_stores = 1u << 16;

// Objects carry the number of the execution that made them; it is never used again.
std::uint32_t last_execution = 0;

constexpr std::uint32_t bit(unsigned thread) noexcept { return 1u << thread; }

const char* kind_name(object_kind kind) noexcept {
  switch (kind) {
    case object_kind::atomic:
      return "atomic";
    case object_kind::cell:
      return "cell";
    case object_kind::mutex:
      return "mutex";
    case object_kind::shared_mutex:
      return "shared_mutex";
    case object_kind::condition_variable:
      return "condition_variable";
    case object_kind::parker:
      return "parker";
    case object_kind::reference_count:
      return "reference_count";
  }
  return "object";
}

void on_terminate() {
  if (current == nullptr || !executing) std::abort();
  std::string text = "std::terminate was called";
  if (std::current_exception() != nullptr) {
    try {
      throw;
    } catch (const std::exception& e) {
      text += " with an exception in flight: ";
      text += e.what();
    } catch (...) {
      text += " with an exception in flight";
    }
  }
  current->fail(std::move(text));
}

}  // namespace

engine::engine(const options& o, const std::function<void()>& body)
    : limits(o), objects(most_objects), stores(most_stores), body_(body) {
  preemption_bound = o.preemptions;
  random_state = o.seed * 0x9E3779B97F4A7C15u + 1;
}

engine::~engine() = default;

bool engine::run() {
  reset();
  const auto before = std::set_terminate(&on_terminate);
  current = this;
  self = 0;
  prepare_thread(where::current());
  start_thread(0, [](void*) { current->body_(); });
  executing = true;
  outside_.switch_to(places[0].fiber);
  executing = false;
  std::set_terminate(before);
  if (!failed_) {
    if (follow > trail.size()) {
      message = "the body is not deterministic: given the same choices it ended sooner";
      failed_ = true;
    } else if (limits.detect_leaks) {
      find_leaks();
    }
  }
  current = nullptr;
  release_kept();
  return !failed_;
}

void engine::reset() {
  execution = ++last_execution;
  failed_ = false;
  message.clear();
  log_text.clear();
  trail.resize(follow);
  next_choice_ = next_alternative_ = 0;
  steps = 0;
  left = {preemption_bound, limits.stale_reads, limits.spurious_failures, limits.timeouts,
          limits.allocation_failures};
  thread_count = alive = 0;
  enabled = yielders = 0;
  just_chosen_ = false;
  time = 1'000'000'000;
  fences = light_fences = heavy_fences = lanes{};
  sequential = sequential_at_heavy = 0;
  seeds = 0;
  blocks = nullptr;
  objects.clear();
  stores.clear();
  if (by_priority) {
    lowest_ = 1000;
    for (auto& p : priorities_) p = 2000 + random() % 1000000;
    const unsigned changes = limits.pct_depth > 0 ? limits.pct_depth - 1 : 0;
    change_points_.fill(0);
    for (unsigned i = 0; i < changes && i < change_points_.size(); ++i) {
      change_points_[i] = 1 + random() % switches_expected;
    }
  }
}

// Threads.

unsigned engine::prepare_thread(where w) {
  if (thread_count == max_threads) {
    fail_at("more than 16 threads in one execution: the checker models at most 16", w);
  }
  const unsigned index = thread_count++;
  thread_place& place = places[index];
  if (!place.ready) {
    place.fiber.prepare([] { current->thread_main(); });
    place.ready = true;
  }
  thread_record& t = threads[index];
  t = thread_record{};
  t.last = w;
  return index;
}

void engine::start_thread(unsigned thread, thread_entry entry) noexcept {
  thread_record& t = threads[thread];
  if (alive != 0) {
    t.now = threads[self].now;
    if (logging) log("starts T" + std::to_string(thread));
    end_operation();
  }
  t.now.happened[thread] = t.now.coherent[thread] = 1;
  t.entry = entry;
  t.state = thread_record::status::alive;
  enabled |= bit(thread);
  ++alive;
}

void engine::forget_thread(unsigned thread) noexcept {
  threads[thread].state = thread_record::status::finished;
}

void engine::thread_main() noexcept {
  for (;;) {
    const unsigned me = self;
    places[me].ready = false;
    try {
      threads[me].entry(places[me].callable);
      while (threads[me].exit_hooks != nullptr) {
        prim::thread_exit_hook* const hook = threads[me].exit_hooks;
        threads[me].exit_hooks = hook->next;
        hook->run(hook);
      }
    } catch (const std::exception& e) {
      fail(std::string("an exception left a thread: ") + e.what());
    } catch (...) {
      fail("an exception left a thread");
    }
    places[me].ready = true;
    end_thread();
  }
}

void engine::end_thread() noexcept {
  thread_record& t = threads[self];
  t.state = thread_record::status::finished;
  end_operation();
  if (logging) log("ends");
  enabled &= ~bit(self);
  wake_waiting(thread_record::waits::thread_end, self);
  if (--alive == 0) {
    executing = false;
    places[self].fiber.switch_to(outside_);
  } else {
    hand_over(false);
  }
}

// Scheduling.

void engine::switch_to(unsigned next) noexcept {
  if (next == self) return;
  just_chosen_ = true;
  detail::fiber& from = places[self].fiber;
  self = next;
  from.switch_to(places[next].fiber);
}

// A thread that yielded waits until every other thread that could run then has taken a step, or
// cannot run any more. So spinning threads do not keep others from what they spin for.
void engine::forgive_yielders() noexcept {
  for (std::uint32_t rest = yielders; rest != 0; rest &= rest - 1) {
    const auto thread = static_cast<unsigned>(std::countr_zero(rest));
    std::uint32_t& waits_for = threads[thread].waits_for_step_of;
    waits_for &= enabled & ~bit(self);
    if (waits_for == 0) yielders &= ~bit(thread);
  }
}

void engine::hand_over(bool prefer_self) {
  while (enabled == 0) {
    if (!end_earliest_wait()) deadlock();
  }
  std::uint32_t ready = enabled;
  if (yielders != 0) {
    for (std::uint32_t rest = yielders; rest != 0; rest &= rest - 1) {
      const auto thread = static_cast<unsigned>(std::countr_zero(rest));
      if ((threads[thread].waits_for_step_of & enabled) != 0) {
        ready &= ~bit(thread);
      } else {
        yielders &= ~bit(thread);
      }
    }
    if (ready == 0) ready = enabled;
  }
  std::uint8_t list[max_threads];
  unsigned count = 0;
  const bool stays = prefer_self && (ready & bit(self)) != 0;
  if (stays) {
    list[count++] = static_cast<std::uint8_t>(self);
    ready &= ~bit(self);
  }
  for (; ready != 0; ready &= ready - 1) {
    list[count++] = static_cast<std::uint8_t>(std::countr_zero(ready));
  }
  if (count == 1) {
    switch_to(list[0]);
    return;
  }
  candidates_ = list;
  const bool refused = stays && left.preemptions == 0;
  preemption_refused |= refused;
  const unsigned chosen = choose_among(choice_kind::thread, count, refused ? 1 : count);
  if (stays && chosen != 0 && left.preemptions != unlimited) --left.preemptions;
  switch_to(list[chosen]);
}

void engine::yield(where w) {
  begin_operation(w);
  if (logging) log("yields");
  if (yielders != 0) forgive_yielders();
  const std::uint32_t others = enabled & ~bit(self);
  if (others == 0) {
    if (!end_earliest_wait()) return;
    hand_over(true);
    return;
  }
  threads[self].waits_for_step_of = others;
  yielders |= bit(self);
  hand_over(false);
}

void engine::block(thread_record::waits reason, std::uint32_t object_index, std::int64_t deadline) {
  thread_record& t = threads[self];
  t.waiting = reason;
  t.waited_object = object_index;
  t.deadline = deadline;
  t.timed_out = false;
  enabled &= ~bit(self);
  if (yielders != 0) forgive_yielders();
  hand_over(false);
  t.waiting = thread_record::waits::nothing;
  t.deadline = no_deadline;
}

void engine::wake(unsigned thread) noexcept { enabled |= bit(thread); }

void engine::wake_waiting(thread_record::waits reason, std::uint32_t object_index) noexcept {
  for (unsigned i = 0; i < thread_count; ++i) {
    if (threads[i].waiting == reason && threads[i].waited_object == object_index) wake(i);
  }
}

// When nothing else can happen, time passes until the next deadline.
bool engine::end_earliest_wait() noexcept {
  std::int64_t earliest = no_deadline;
  for (unsigned i = 0; i < thread_count; ++i) {
    const thread_record& t = threads[i];
    if (t.waiting != thread_record::waits::nothing && (enabled & bit(i)) == 0 &&
        t.deadline < earliest) {
      earliest = t.deadline;
    }
  }
  if (earliest == no_deadline) return false;
  pass_time(earliest);
  return true;
}

void engine::pass_time(std::int64_t until) noexcept {
  if (until > time) time = until;
  for (unsigned i = 0; i < thread_count; ++i) {
    thread_record& t = threads[i];
    if (t.waiting != thread_record::waits::nothing && (enabled & bit(i)) == 0 &&
        t.deadline <= time) {
      t.timed_out = true;
      wake(i);
    }
  }
}

// Choices.

unsigned engine::choose_among(choice_kind kind, unsigned options, unsigned allowed) {
  const std::size_t index = next_choice_++;
  if (index < follow) {
    const choice& given = trail[index];
    if (given.kind != kind || given.options != options) {
      fail(
          "the body is not deterministic: given the same choices it did something else. Look for "
          "state that survives an execution (statics, captured objects), addresses that decide, "
          "the real clock, random numbers, threads outside of heddle::prim");
    }
    return given.chosen;
  }
  unsigned chosen = 0;
  if (replay != nullptr) {
    while (next_alternative_ < replay->size() && (*replay)[next_alternative_].first < index) {
      ++next_alternative_;
    }
    if (next_alternative_ < replay->size() && (*replay)[next_alternative_].first == index) {
      chosen = (*replay)[next_alternative_].second;
      if (chosen >= options) fail("this trail belongs to another body, or to an older form of it");
    }
  } else if (randomly) {
    chosen = pick_randomly(kind, options, allowed);
  }
  trail.push_back({kind, static_cast<std::uint8_t>(options), static_cast<std::uint8_t>(allowed),
                   static_cast<std::uint8_t>(chosen)});
  return chosen;
}

// xorshift64*, as prim::random.
std::uint32_t engine::random() noexcept {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return static_cast<std::uint32_t>((random_state * 0x2545F4914F6CDD1DULL) >> 32);
}

unsigned engine::pick_randomly(choice_kind kind, unsigned options, unsigned allowed) noexcept {
  switch (kind) {
    case choice_kind::thread:
      return by_priority ? pick_by_priority(candidates_, options) : random() % options;
    case choice_kind::user:
    case choice_kind::waiter:
      return random() % options;
    default:
      // The usual thing most of the time, or nothing would ever get far.
      return allowed > 1 && random() % 4 == 0 ? 1 + random() % (allowed - 1) : 0;
  }
}

unsigned engine::pick_by_priority(const std::uint8_t* list, unsigned count) noexcept {
  for (std::uint64_t& point : change_points_) {
    if (point != 0 && steps >= point) {
      point = 0;
      priorities_[self] = --lowest_;
    }
  }
  unsigned best = 0;
  for (unsigned i = 1; i < count; ++i) {
    if (priorities_[list[i]] > priorities_[list[best]]) best = i;
  }
  return best;
}

// Objects.

namespace {
constexpr std::uint32_t adopted = 1u << 31;  // in a handle: made outside of executions
}

object_record& engine::make_object(handle& h, object_kind kind, const void* address) {
  if (objects.full()) fail("more than 65536 shared objects in one execution");
  h = {execution, static_cast<std::uint32_t>(objects.size())};
  object_record& o = objects.add();
  o.kind = kind;
  o.address = address;
  return o;
}

store_record& engine::make_store() {
  if (stores.full()) fail("more than 65536 stores in one execution");
  return stores.add();
}

object_record& engine::object(handle& h, object_kind kind, const void* address, std::uint64_t first,
                              where w) {
  if (h.execution != execution) [[unlikely]] {
    if (h.execution != 0 && (h.index & adopted) == 0) {
      fail_at(std::string("use of a ") + kind_name(kind) +
                  " that an earlier execution made, or of freed memory: make everything that the "
                  "body shares inside of the body",
              w);
    }
    for (unsigned i = 0; i < thread_count; ++i) {
      if (places[i].fiber.contains(address)) {
        fail_at(std::string("use of a ") + kind_name(kind) +
                    " on a thread's stack that was never constructed or is gone",
                w);
      }
    }
    object_record& made = make_object(h, kind, address);
    h.index |= adopted;
    if (kind == object_kind::atomic) {
      store_record& s = make_store();
      s.seen = lanes{};
      s.value = first;
      made.newest = &s;
    }
    return made;
  }
  object_record& o = objects[h.index & ~adopted];
  if (o.dead || o.address != address) {
    fail_at(std::string("use of a ") + kind_name(kind) + " after its destruction", w);
  }
  if (o.made_here && threads[self].now.happened[o.born_in] < o.born) {
    fail_at("use of " + name_of(o) +
                " by a thread that its construction does not happen before: a data race",
            w);
  }
  return o;
}

void construct(handle& h, object_kind kind, const void* address, std::uint64_t value) noexcept {
  engine& e = *current;
  object_record& o = e.make_object(h, kind, address);
  const epoch now = e.threads[e.self].now.happened[e.self];
  o.made_here = true;
  o.born = now;
  o.born_in = static_cast<std::uint8_t>(e.self);
  o.accessed[e.self] = now;
  if (kind == object_kind::atomic) {
    store_record& s = e.make_store();
    s.seen = lanes::all(never_happened);
    s.seen[e.self] = now;
    s.value = value;
    o.newest = &s;
  } else if (kind == object_kind::cell) {
    o.written = now;
    o.written_in = static_cast<std::uint8_t>(e.self);
  }
}

void destroy(handle& h, object_kind kind, const void* address) noexcept {
  engine& e = *current;
  if (h.execution != e.execution) return;  // made outside, and never used here
  object_record& o = e.objects[h.index & ~adopted];
  if (o.dead || o.address != address) {
    e.fail(std::string("destruction of a ") + kind_name(kind) + " that is already gone");
  }
  e.end_object(o);
}

void engine::end_object(object_record& o) {
  if (!threads[self].now.happened.covers_all(o.accessed)) {
    fail("destruction of " + name_of(o) + " that does not happen after its last use, by T" +
         std::to_string(o.last_thread) + at_text(o.last_access));
  }
  if (o.owner >= 0 && o.kind != object_kind::parker) {
    fail("destruction of " + name_of(o) + " that is locked");
  }
  if (o.readers.any()) fail("destruction of " + name_of(o) + " that is locked");
  if (logging) log("destroys " + name_of(o));
  o.dead = true;
}

void engine::destroy_all_within(const void* memory, std::size_t bytes) {
  const auto from = reinterpret_cast<std::uintptr_t>(memory);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    object_record& o = objects[i];
    if (!o.dead && o.made_here && reinterpret_cast<std::uintptr_t>(o.address) - from < bytes) {
      end_object(o);
    }
  }
}

// What is wrong at the end.

void engine::find_leaks() {
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const object_record& o = objects[i];
    if (!o.made_here || o.dead) continue;
    message =
        "leak: " + name_of(o) + ", made by T" + std::to_string(o.born_in) + ", was never destroyed";
    failed_ = true;
    return;
  }
  if (const std::size_t bytes = first_leaked_block(blocks); bytes != 0) {
    message = "leak: a block of " + std::to_string(bytes) + " bytes was never deallocated";
    failed_ = true;
  }
}

void engine::release_kept() noexcept {
  for (void* const memory : kept_) std::free(memory);
  kept_.clear();
}

void engine::fail(std::string text) noexcept {
  executing = false;
  message = "T" + std::to_string(self) + ": " + text + at_text(threads[self].last);
  abandon();
}

void engine::fail_at(std::string text, where w) noexcept {
  executing = false;
  message = "T" + std::to_string(self) + ": " + text + at_text(w);
  abandon();
}

// The fibers stay where they are; the next execution starts them afresh.
void engine::abandon() noexcept {
  failed_ = true;
  for (thread_place& p : places) p.ready = false;
  places[self].fiber.switch_to(outside_);
  std::abort();  // nobody comes back to an abandoned fiber
}

void engine::too_long() noexcept {
  fail("livelock, or a limit too low: no end after " + std::to_string(steps) +
       " operations (options::steps). A loop that spins must call heddle::prim::pause or yield");
}

void engine::deadlock() noexcept {
  executing = false;
  std::string text = "deadlock: nothing can run any more.";
  for (unsigned i = 0; i < thread_count; ++i) {
    const thread_record& t = threads[i];
    if (t.state != thread_record::status::alive) continue;
    text += "\n  T" + std::to_string(i) + " waits for ";
    switch (t.waiting) {
      case thread_record::waits::lock: {
        const object_record& o = objects[t.waited_object];
        text += name_of(o);
        if (o.owner >= 0) text += ", which T" + std::to_string(o.owner) + " holds";
        break;
      }
      case thread_record::waits::token:
        text += "a token of " + name_of(objects[t.waited_object]);
        break;
      case thread_record::waits::notification:
        text += "a notification of " + name_of(objects[t.waited_object]);
        break;
      case thread_record::waits::thread_end:
        text += "the end of T" + std::to_string(t.waited_object);
        break;
      case thread_record::waits::nothing:
        text += "nothing";
        break;
    }
    text += at_text(t.last);
  }
  message = text;
  abandon();
}

// Reports.

std::string at_text(where w) {
  std::string_view file = w.file_name();
  if (file.empty() || file.find("/heddle/model/") != std::string_view::npos) return "";
  if (const auto slash = file.rfind('/'); slash != std::string_view::npos) {
    file.remove_prefix(slash + 1);
  }
  return " (" + std::string(file) + ":" + std::to_string(w.line()) + ")";
}

std::string engine::name_of(const object_record& o) {
  const auto index = static_cast<std::size_t>(&o - &objects[0]);
  return kind_name(o.kind) + (" #" + std::to_string(index));
}

void engine::log(const std::string& line) {
  const bool was = std::exchange(executing, false);
  const std::string step = std::to_string(steps);
  log_text.append(step.size() < 5 ? 5 - step.size() : 0, ' ');
  log_text +=
      step + "  T" + std::to_string(self) + "  " + line + at_text(threads[self].last) + "\n";
  executing = was;
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
