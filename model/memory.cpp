// Atomics, fences and plain memory. docs/protocols/checker.md says which memory model this is and
// why these rules make it.

#include <algorithm>
#include <cstdio>
#include <string>

#include <heddle/model/asymmetric_fence.hpp>

#include "engine.hpp"

namespace heddle::inline HEDDLE_ABI::model::detail {
namespace {

constexpr bool acquires(std::memory_order order) noexcept {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst || order == std::memory_order_consume;
}
constexpr bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}

const char* order_name(std::memory_order order) noexcept {
  switch (order) {
    case std::memory_order_relaxed:
      return "relaxed";
    case std::memory_order_consume:
      return "consume";
    case std::memory_order_acquire:
      return "acquire";
    case std::memory_order_release:
      return "release";
    case std::memory_order_acq_rel:
      return "acq_rel";
    default:
      return "seq_cst";
  }
}

// Addresses change from run to run, so those of modelled objects are told by name. Their lowest
// bits often carry flags.
std::string value_text(std::uint64_t value) {
  if (value < 100000) return std::to_string(value);
  if (value > ~std::uint64_t{0} - 100000) {
    return std::string("-").append(std::to_string(~std::uint64_t{0} - value + 1));
  }
  engine& e = *current;
  for (std::size_t i = e.objects.size(); i-- > 0;) {
    const object_record& o = e.objects[i];
    if (reinterpret_cast<std::uintptr_t>(o.address) != (value & ~std::uint64_t{7})) continue;
    const std::string flags =
        (value & 7) != 0 ? std::string("|").append(std::to_string(value & 7)) : "";
    return std::string("&").append(e.name_of(o)).append(flags);
  }
  char text[20];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
  return text;
}

// One access to an atomic by the running thread.
class access {
 public:
  access(handle& h, const void* address, std::uint64_t first, std::memory_order order, where w)
      : engine_(*current) {
    engine_.step(w);
    object_ = &engine_.object(h, object_kind::atomic, address, first, w);
    engine_.touch(*object_, w);
    thread_ = &engine_.threads[engine_.self];
    known_ = thread_->now.coherent;
    if (order == std::memory_order_seq_cst) become_sequential();
  }
  ~access() { engine_.end_operation(); }
  access(const access&) = delete;
  access& operator=(const access&) = delete;

  // Takes the next place in the total order of the seq_cst accesses.
  void become_sequential() noexcept {
    sequential_ = true;
    known_.join(engine_.fences);
    ++engine_.sequential;
  }

  // The oldest store that coherence lets this access see, so that a newer one need not be seen. It
  // is the newest that happened, or that was seen by somebody, before.
  bool is_oldest(const store_record& s) const noexcept {
    if (known_.covers_any(s.seen)) return true;
    return s.sequential != 0 && (sequential_ || s.sequential <= thread_->now.fenced);
  }

  bool is_oldest_for_sequential(const store_record& s) const noexcept {
    return s.sequential != 0 || known_.covers_any(s.seen) || engine_.fences.covers_any(s.seen);
  }

  // Which store to read; `may` leaves stores out.
  template <class Predicate>
  store_record* choose_read(Predicate may) {
    store_record* usual = nullptr;
    unsigned count = 0;
    for (store_record* s = object_->newest;; s = s->before) {
      if (may(*s)) {
        if (usual == nullptr) usual = s;
        ++count;
      }
      if (is_oldest(*s)) break;
    }
    unsigned chosen = choose_old(choice_kind::store, count);
    store_record* s = usual;
    while (chosen != 0) {
      s = s->before;
      if (may(*s)) --chosen;
    }
    return s;
  }

  void read(store_record& s, bool acquire) noexcept {
    const epoch now = thread_->now.happened[engine_.self];
    if (now < s.seen[engine_.self]) s.seen[engine_.self] = now;
    if (sequential_ && s.sequential == 0) s.sequential = engine_.sequential;
    if (!s.releases) return;
    if (acquire) {
      thread_->now.join(s.released);
    } else if (thread_->has_acquired) {
      thread_->acquired.join(s.released);
    } else {
      thread_->acquired = s.released;
      thread_->has_acquired = true;
    }
  }

  // Where in the modification order a store goes: at its end, or before stores that nothing orders
  // before this one. Nothing comes between a read-modify-write and what it read.
  store_record& place() {
    unsigned count = 1;
    for (store_record* s = object_->newest; !is_oldest(*s); s = s->before) {
      if (!s->modifies) ++count;
    }
    unsigned chosen = choose_old(choice_kind::place, count);
    store_record* follower = nullptr;
    store_record* s = object_->newest;
    while (chosen != 0) {
      if (!s->modifies) {
        follower = s;
        --chosen;
      }
      if (chosen != 0) s = s->before;
    }
    return add_before(follower);
  }
  store_record& place_after(store_record& read) { return add_before(read.after); }

  void write(store_record& s, std::uint64_t value, bool release) noexcept {
    s.seen = lanes::all(never_happened);
    s.seen[engine_.self] = thread_->now.happened[engine_.self];
    s.value = value;
    if (sequential_) s.sequential = engine_.sequential;
    if (release) {
      s.released = thread_->now;
      s.releases = true;
    } else if (thread_->has_released) {
      s.released = thread_->released;
      s.releases = true;
    }
  }

  // A read-modify-write continues the release sequence that it reads from.
  static void continue_release(const store_record& read, store_record& written) noexcept {
    if (!read.releases) return;
    if (written.releases) {
      written.released.join(read.released);
    } else {
      written.released = read.released;
      written.releases = true;
    }
  }

  // A weak exchange may fail for nothing.
  bool fails_for_nothing() {
    return engine_.happens(choice_kind::failure, engine_.left.spurious_failures);
  }

  void log(const char* what, std::memory_order order, std::uint64_t value, const store_record& s) {
    if (!engine_.logging) return;
    std::string text =
        engine_.name_of(*object_) + " " + what + " " + order_name(order) + " " + value_text(value);
    unsigned age = 0;
    for (const store_record* newer = s.after; newer != nullptr; newer = newer->after) ++age;
    if (age != 0) text += ", " + std::to_string(age) + " before the newest";
    engine_.log(text);
  }
  void log_exchange(const char* what, std::memory_order order, std::uint64_t from,
                    std::uint64_t to) {
    if (!engine_.logging) return;
    engine_.log(engine_.name_of(*object_) + " " + what + " " + order_name(order) + " " +
                value_text(from) + " -> " + value_text(to));
  }

 private:
  unsigned choose_old(choice_kind kind, unsigned count) {
    if (count <= 1) return 0;
    const unsigned limited = std::min(count, 255u);
    const unsigned chosen =
        engine_.choose(kind, limited, engine_.left.stale_reads != 0 ? limited : 1);
    if (chosen != 0 && engine_.left.stale_reads != unlimited) --engine_.left.stale_reads;
    return chosen;
  }

  store_record& add_before(store_record* follower) {
    store_record& s = engine_.make_store();
    s.after = follower;
    s.before = follower != nullptr ? follower->before : object_->newest;
    if (s.before != nullptr) s.before->after = &s;
    (follower != nullptr ? follower->before : object_->newest) = &s;
    return s;
  }

  engine& engine_;
  object_record* object_;
  thread_record* thread_;
  lanes known_;
  bool sequential_ = false;
};

// Whether a read-modify-write may read it: another one has not yet.
bool is_free(const store_record& s) noexcept { return s.after == nullptr || !s.after->modifies; }

[[noreturn]] void refuse(const char* what, where w) {
  current->fail_at(std::string("undefined behaviour: ") + what, w);
}

}  // namespace

std::uint64_t load(handle& h, const void* a, std::uint64_t first, std::memory_order order,
                   where w) noexcept {
  if (order == std::memory_order_release || order == std::memory_order_acq_rel) {
    refuse("a load with release order", w);
  }
  access x(h, a, first, order, w);
  store_record& s = *x.choose_read([](const store_record&) { return true; });
  x.read(s, acquires(order));
  x.log("load", order, s.value, s);
  return s.value;
}

void store(handle& h, const void* a, std::uint64_t first, std::uint64_t value,
           std::memory_order order, where w) noexcept {
  if (order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
      order == std::memory_order_consume) {
    refuse("a store with acquire order", w);
  }
  access x(h, a, first, order, w);
  store_record& s = x.place();
  x.write(s, value, releases(order));
  x.log("store", order, value, s);
}

std::uint64_t read_modify_write(handle& h, const void* a, std::uint64_t first, modify f,
                                std::uint64_t argument, std::memory_order order, where w) noexcept {
  access x(h, a, first, order, w);
  store_record& read = *x.choose_read(is_free);
  const std::uint64_t value = f(read.value, argument);
  x.read(read, acquires(order));
  store_record& written = x.place_after(read);
  x.write(written, value, releases(order));
  access::continue_release(read, written);
  written.modifies = true;
  x.log_exchange("modify", order, read.value, value);
  return read.value;
}

bool compare_exchange(handle& h, const void* a, std::uint64_t first, std::uint64_t& expected,
                      std::uint64_t desired, std::memory_order success, std::memory_order failure,
                      bool weak, where w) noexcept {
  if (failure == std::memory_order_release || failure == std::memory_order_acq_rel) {
    refuse("a compare_exchange whose failure has release order", w);
  }
  // When only success is seq_cst, an exchange that fails may read older stores than one that
  // succeeds.
  const bool sequential = success == std::memory_order_seq_cst;
  const bool mixed = sequential && failure != std::memory_order_seq_cst;
  access x(h, a, first, mixed ? std::memory_order_relaxed : success, w);
  store_record& read = *x.choose_read([&](const store_record& s) {
    if (s.value != expected) return true;
    if (!is_free(s)) return false;
    for (const store_record* newer = s.after; mixed && newer != nullptr; newer = newer->after) {
      if (x.is_oldest_for_sequential(*newer)) return false;
    }
    return true;
  });
  if (read.value != expected || (weak && x.fails_for_nothing())) {
    x.read(read, acquires(failure));
    x.log(read.value != expected ? "compare_exchange fails" : "compare_exchange fails for nothing",
          failure, read.value, read);
    expected = read.value;
    return false;
  }
  if (mixed) x.become_sequential();
  x.read(read, acquires(success));
  store_record& written = x.place_after(read);
  x.write(written, desired, releases(success));
  access::continue_release(read, written);
  written.modifies = true;
  x.log_exchange("compare_exchange", success, read.value, desired);
  return true;
}

namespace {

void acquire_fence(thread_record& t) noexcept {
  if (t.has_acquired) t.now.join(t.acquired);
}
void release_fence(thread_record& t) noexcept {
  t.released = t.now;
  t.has_released = true;
}
void seq_cst_fence(engine& e) noexcept {
  thread_record& t = e.threads[e.self];
  acquire_fence(t);
  t.now.coherent.join(e.fences);
  e.fences = t.now.coherent;
  t.now.fenced = e.sequential;
  release_fence(t);
}

}  // namespace

void fence(std::memory_order order, where w) noexcept {
  engine& e = *current;
  thread_record& t = e.threads[e.self];
  if (order == std::memory_order_seq_cst) {
    e.step(w);
    seq_cst_fence(e);
  } else {
    t.last = w;
    if (acquires(order)) acquire_fence(t);
    if (releases(order)) release_fence(t);
  }
  if (e.logging) e.log(std::string("fence ") + order_name(order));
  e.end_operation();
}

// Of an asymmetric pair. A light fence meets heavy ones alone, which is less than a seq_cst fence
// does, and it is neither an acquire nor a release fence.
void light_fence(where w) noexcept {
  engine& e = *current;
  e.step(w);
  view& now = e.threads[e.self].now;
  now.coherent.join(e.heavy_fences);
  now.fenced = std::max(now.fenced, e.sequential_at_heavy);
  e.light_fences.join(now.coherent);
  if (e.logging) e.log("fence light");
  e.end_operation();
}

void heavy_fence(where w) noexcept {
  engine& e = *current;
  e.step(w);
  e.threads[e.self].now.coherent.join(e.light_fences);
  seq_cst_fence(e);
  e.heavy_fences.join(e.fences);
  e.sequential_at_heavy = e.sequential;
  if (e.logging) e.log("fence heavy");
  e.end_operation();
}

// Plain memory. A data race is found whatever order its two accesses came in, so they need no
// choice of a thread.

void read_cell(handle& h, const void* address, where w) noexcept {
  engine& e = *current;
  object_record& o = e.object(h, object_kind::cell, address, 0, w);
  const view& now = e.threads[e.self].now;
  if (now.happened[o.written_in] < o.written) {
    e.fail_at("data race: this read of " + e.name_of(o) + " and the write by T" +
                  std::to_string(o.written_in) + at_text(o.last_write),
              w);
  }
  e.threads[e.self].last = w;
  if (e.logging) e.log(e.name_of(o) + " read");
  e.touch(o, w);
}

void write_cell(handle& h, const void* address, where w) noexcept {
  engine& e = *current;
  object_record& o = e.object(h, object_kind::cell, address, 0, w);
  const view& now = e.threads[e.self].now;
  if (!now.happened.covers_all(o.accessed)) {
    e.fail_at("data race: this write of " + e.name_of(o) + " and the access by T" +
                  std::to_string(o.last_thread) + at_text(o.last_access),
              w);
  }
  e.threads[e.self].last = w;
  if (e.logging) e.log(e.name_of(o) + " write");
  e.touch(o, w);
  o.written = now.happened[e.self];
  o.written_in = static_cast<std::uint8_t>(e.self);
  o.last_write = w;
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
