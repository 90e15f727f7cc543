#include <heddle/base/unhandled.hpp>
#include <heddle/data/object_pool.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/patience.hpp>
#include <heddle/prim/thread.hpp>

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace heddle::inline HEDDLE_ABI {

exhausted::exhausted(std::size_t most)
    : error("the object_pool has " + std::to_string(most) + " objects, which is the most") {}
exhausted::~exhausted() = default;

null_object::null_object() : error("the factory of an object_pool returned null") {}
null_object::~null_object() = default;

namespace detail {
namespace {

constexpr std::size_t most_kept_per_thread = std::size_t{1} << 20;

object_pool_options checked(object_pool_options o) {
  std::string wrong;
  if (o.most == 0) wrong.append("most 0");
  if (o.initial > o.most) {
    wrong.append("initial ").append(std::to_string(o.initial));
    wrong.append(" is beyond most ").append(std::to_string(o.most));
  }
  if (o.kept_per_thread > most_kept_per_thread) {
    wrong.append("kept_per_thread ").append(std::to_string(o.kept_per_thread));
    wrong.append(" is beyond 2^20");
  }
  if (!wrong.empty()) throw std::invalid_argument("object_pool: " + wrong);
  o.kept_shared = std::max(o.kept_shared, o.initial);
  return o;
}

// A portion of one.
pooled* alone(pooled* p) {
  p->in_portion.set({nullptr, nullptr, 1});
  return p;
}

}  // namespace

// A thread's place.

pool_place::pool_place(object_pool_core& pool, std::size_t capacity)
    : capacity_(capacity),
      kept_(std::make_unique<prim::cell<pooled*>[]>(capacity)),
      generation_(prim::fork_generation()),
      pool_(pool) {}

pooled* pool_place::cut(std::size_t count) noexcept {
  std::size_t size = size_.get();
  if (pooled* const latest = latest_.get()) {
    latest_.set(nullptr);
    kept_[size++].set(latest);
  }
  count = std::min(count, size);
  if (count == 0) return nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    pooled* const next = i + 1 < count ? kept_[i + 1].get() : nullptr;
    kept_[i].get()->in_portion.set({next, nullptr, count});
  }
  pooled* const first = kept_[0].get();
  for (std::size_t i = count; i < size; ++i) kept_[i - count].set(kept_[i].get());
  size_.set(size - count);
  return first;
}

object_pool_statistics pool_place::statistics() const {
  object_pool_statistics s;
  s.created = made.read();  // before those that they are a part of
  s.reused = taken.read() - s.created;
  s.returned = returned.read();
  s.discarded = discarded.read();
  s.peak = static_cast<std::uint64_t>(peak_.load(prim::relaxed));
  return s;
}

void pool_place::taken_over() noexcept {
  generation_.store(prim::fork_generation(), prim::relaxed);
}

// It may leave more than the store is to keep: destroying objects here would call T's destructor
// while a lock is held. The next one who brings a portion sees to it.
void pool_place::left_behind() noexcept {
  if (!enter(pool_.closed_)) return;
  if (pooled* const rest = cut_all()) {
    const prim::scoped_lock lock(pool_.places_);
    pool_.store(rest);
  }
  leave();
}

// Taking.

object_pool_core::object_pool_core(const object_pool_options& options, bool resets)
    : options_(checked(options)),
      portion_(std::max<std::size_t>(1, (options.kept_per_thread + 1) / 2)),
      resets_(resets),
      places_([this] { return pool_place(*this, options_.kept_per_thread); }) {
  prim::watch_forks();
}

object_pool_core::~object_pool_core() = default;

pooled* object_pool_core::take_elsewhere(pool_place& mine) {
  if (pooled* const first = fetch()) {
    for (pooled* p = first->in_portion.get().next; p != nullptr; p = p->in_portion.get().next) {
      mine.push(p);
    }
    mine.count_taken();
    return first;
  }
  pooled* const p = made();
  if (p == nullptr) return nullptr;
  mine.count_taken();
  mine.made.add();
  return p;
}

// Null when there are as many as there may be.
pooled* object_pool_core::made() {
  std::size_t before = existing_.load(prim::relaxed);
  do {
    if (before == options_.most) return nullptr;
  } while (!existing_.compare_exchange_weak(before, before + 1, prim::relaxed, prim::relaxed));
  pooled* p = nullptr;
  try {
    p = make();
  } catch (...) {
    existing_.fetch_sub(1, prim::relaxed);
    throw;
  }
  std::size_t peak = peak_.load(prim::relaxed);
  while (peak <= before &&
         !peak_.compare_exchange_weak(peak, before + 1, prim::relaxed, prim::relaxed)) {
  }
  return p;
}

void object_pool_core::fill(std::size_t count) {
  pooled* portion = nullptr;
  std::size_t size = 0;
  try {
    for (; count > 0; --count) {
      pooled* const p = made();
      p->in_portion.set({portion, nullptr, ++size});
      portion = p;
      if (size < portion_ && count > 1) continue;
      const prim::scoped_lock lock(places_);
      store(std::exchange(portion, nullptr));
      size = 0;
    }
  } catch (...) {
    destroy_portions(portion, nullptr);
    while (pooled* const stored = fetch()) destroy_portions(stored, nullptr);
    throw;
  }
}

void object_pool_core::fail_exhausted() const { throw exhausted(options_.most); }

// Giving back.

bool object_pool_core::reset_worked(pooled* p) noexcept {
  try {
    reset(*p);
    return true;
  } catch (...) {
    report_unhandled(std::current_exception());
    return false;
  }
}

// Null when there is no memory for one, or no thread-specific key.
pool_place* object_pool_core::place_of_this_thread() noexcept {
  try {
    return &places_.local();
  } catch (const std::bad_alloc&) {
  } catch (const std::system_error&) {
  }
  return nullptr;
}

// Objects are destroyed while the lease is not yet counted as ended: so the core is still there,
// and a destructor may use the pool.
void object_pool_core::give_back_elsewhere(pooled* p) noexcept {
  pool_place* const mine = place_of_this_thread();
  pooled* unwanted = nullptr;
  if (mine == nullptr) {
    const prim::scoped_lock lock(places_);
    if (closed_.load(prim::relaxed)) {
      unwanted = alone(p);
    } else {
      store(alone(p));
      unwanted = fetch_excess();
    }
  } else if (!mine->enter(closed_)) {
    unwanted = alone(p);
  } else {
    if (!mine->push(p)) {
      pooled* const oldest = mine->cut(portion_);
      if (oldest != nullptr) mine->push(p);
      const prim::scoped_lock lock(places_);
      store(oldest != nullptr ? oldest : alone(p));
      unwanted = fetch_excess();
    }
    mine->leave();
  }
  destroy_portions(unwanted, mine);
  end_lease(mine);
}

void object_pool_core::discard(pooled* p) noexcept {
  pool_place* const mine = place_of_this_thread();
  destroy_portions(alone(p), mine);
  end_lease(mine);
}

// The last that a lease's end does with the core.
void object_pool_core::end_lease(pool_place* mine) noexcept {
  if (mine != nullptr) {
    if (mine->enter(closed_)) {
      mine->returned.add();
      return mine->leave();
    }
  } else {
    const prim::scoped_lock lock(places_);
    if (!closed_.load(prim::relaxed)) {
      returned_there_.write([](std::int64_t& n) { ++n; });
      return;
    }
  }
  end_leases(-1);
}

void object_pool_core::end_leases(std::int64_t change) noexcept {
  if (out_.fetch_add(change, prim::acq_rel) + change == 0) end();
}

void object_pool_core::destroy_portions(pooled* first, pool_place* mine) noexcept {
  while (first != nullptr) {
    pooled* const next_first = first->in_portion.get().next_first;
    while (first != nullptr) {
      pooled* const next = first->in_portion.get().next;
      destroy(first);
      existing_.fetch_sub(1, prim::relaxed);
      if (mine != nullptr) {
        mine->discarded.add();
      } else {
        discarded_there_.add();
      }
      first = next;
    }
    first = next_first;
  }
}

// The store. All but fetch() under its lock.

void object_pool_core::store(pooled* first) noexcept {
  pooled* const top = store_.get();
  first->in_portion.write([top](pooled::links& l) { l.next_first = top; });
  store_.set(first);
  const std::size_t size = first->in_portion.get().size;
  stored_.store(stored_.load(prim::relaxed) + size, prim::relaxed);
}

pooled* object_pool_core::fetch() noexcept {
  if (stored_.load(prim::relaxed) == 0) return nullptr;
  const prim::scoped_lock lock(places_);
  pooled* const first = store_.get();
  if (first == nullptr) return nullptr;
  pooled::links links = first->in_portion.get();
  store_.set(std::exchange(links.next_first, nullptr));
  first->in_portion.set(links);
  stored_.store(stored_.load(prim::relaxed) - links.size, prim::relaxed);
  return first;
}

// The newest portions, until the store has no more than it is to have.
pooled* object_pool_core::fetch_excess() noexcept {
  std::size_t stored = stored_.load(prim::relaxed);
  if (stored <= options_.kept_shared) return nullptr;
  pooled* const first = store_.get();
  pooled* last = first;
  for (;;) {
    const pooled::links links = last->in_portion.get();
    stored -= links.size;
    if (stored <= options_.kept_shared) break;
    last = links.next_first;
  }
  store_.set(last->in_portion.get().next_first);
  last->in_portion.write([](pooled::links& l) { l.next_first = nullptr; });
  stored_.store(stored, prim::relaxed);
  return first;
}

// The end.

void object_pool_core::close() noexcept {
  closed_.store(true, prim::relaxed);
  // From here on whoever enters a place sees that the pool is closed, or is seen inside.
  while (!prim::heavy_fence()) prim::yield();
  // This thread may have forked the process off, and not taken from the pool since.
  pool_place* const mine = places_.find();
  if (mine != nullptr && !mine->is_of_this_process()) mine->taken_over();
  std::int64_t out = 0;
  places_.for_each([&](pool_place& place) {
    // One of another process was interrupted by the fork, wherever it was, and stays so.
    const bool is_ours = place.is_of_this_process();
    prim::patience patience;
    while (is_ours && place.is_inside()) patience.wait();
    out += static_cast<std::int64_t>(place.taken.read() - place.returned.read());
    if (is_ours) destroy_portions(place.cut_all(), nullptr);
  });
  pooled* stored = nullptr;
  {
    const prim::scoped_lock lock(places_);
    stored = store_.get();
    store_.set(nullptr);
    stored_.store(0, prim::relaxed);
    out -= returned_there_.get();
  }
  destroy_portions(stored, nullptr);
  end_leases(out);
}

object_pool_statistics object_pool_core::statistics() const {
  object_pool_statistics all;
  places_.for_each([&all](const pool_place& place) {
    const object_pool_statistics s = place.statistics();
    all.created += s.created;
    all.reused += s.reused;
    all.returned += s.returned;
    all.discarded += s.discarded;
  });
  all.created += options_.initial;
  all.discarded += discarded_there_.read();
  all.peak = peak_.load(prim::relaxed);
  const prim::scoped_lock lock(places_);
  all.returned += static_cast<std::uint64_t>(returned_there_.get());
  return all;
}

std::vector<object_pool_statistics> object_pool_core::statistics_by_thread() const {
  std::vector<object_pool_statistics> each;
  places_.for_each([&each](const pool_place& place) { each.push_back(place.statistics()); });
  return each;
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
