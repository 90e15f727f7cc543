// Loops on executors of which nothing is known: the caller takes part, and whoever runs a job of
// the loop helps. docs/protocols/loops.md.
#include <algorithm>
#include <new>
#include <vector>

#include <heddle/base/context_slot.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/completion.hpp>

#include "loop_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// What the caller and the jobs share. A job may begin when the loop has ended, so this lives on the
// heap, and a job uses what is the caller's only between enter() and leave().
class executor_loop {
 public:
  executor_loop(loop_core& core, executor_ref where, std::size_t first, std::size_t count,
                const loop_pace& pace, bool has_parts) noexcept
      : core_(core),
        where_(where),
        end_(count),
        pace_(pace),
        has_parts_(has_parts),
        helpers_(most_helpers()),
        next_(first) {}
  executor_loop(const executor_loop&) = delete;
  executor_loop& operator=(const executor_loop&) = delete;

  // The caller's: when it returns, all that was taken is done, and nobody is inside any more.
  // `leftmost` has what is before the first element.
  void run(loop_part* leftmost) noexcept {
    const std::size_t first = next_.load(prim::relaxed);
    call_for_help();
    take_part(leftmost, first);
    close();
  }

  // The caller's, after run(): the parts, in their order.
  void append_parts_to(loop_part& leftmost) noexcept {
    loop_part* part = parts_.load(prim::relaxed);
    std::vector<std::unique_ptr<loop_part>> in_order;
    try {
      std::size_t number = 0;
      for (const loop_part* p = part; p != nullptr; p = p->next_) ++number;
      in_order.reserve(number);
    } catch (...) {
      core_.fail();
    }
    while (part != nullptr) {
      std::unique_ptr<loop_part> own(std::exchange(part, part->next_));
      if (!core_.failed()) in_order.push_back(std::move(own));
    }
    std::sort(in_order.begin(), in_order.end(),
              [](const auto& a, const auto& b) { return a->first_ < b->first_; });
    for (const auto& p : in_order) core_.append(leftmost, *p);
  }

  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
  }

 private:
  struct helper final : job {
    explicit helper(executor_loop& of) noexcept : job(&helper::receive), loop(of) {}

    static void receive(job* j, verb v) noexcept {
      if (v == verb::help) return;
      auto* const self = static_cast<helper*>(j);
      executor_loop& loop = self->loop;
      if (v == verb::run) loop.help(self->context.get());
      delete self;
      loop.release();
    }

    executor_loop& loop;
    captured_context context;
  };

  static unsigned most_helpers() noexcept {
    return std::max(prim::thread::hardware_concurrency(), 2U) - 1;
  }

  void help(context_ref context) noexcept {
    if (!enter()) return;
    {
      const context_scope inside(context);
      call_for_help();
      take_part(nullptr, end_);
    }
    leave();
  }

  // One job at a time is on its way, and whoever begins one sends the next: so there are as many
  // as the executor has threads for, and one that runs nothing has one.
  void call_for_help() noexcept {
    if (core_.failed() || end_ - next_.load(prim::relaxed) <= pace_.block()) return;
    unsigned left = helpers_.load(prim::relaxed);
    do {
      if (left == 0) return;
    } while (!helpers_.compare_exchange_weak(left, left - 1, prim::relaxed));
    auto* const j = new (std::nothrow) helper(*this);
    if (j == nullptr) return;
    references_.fetch_add(1, prim::relaxed);
    where_.post(j);
  }

  // `part` ends where the element `next` begins. What is claimed goes there as long as nobody else
  // has claimed something in between, and then to a new part.
  void take_part(loop_part* part, std::size_t next) noexcept {
    loop_pace pace = pace_;
    pace.start();
    std::size_t first = 0;
    while (const std::size_t n = claim(first, pace)) {
      if (has_parts_ && first != next) part = add_part(first);
      if (has_parts_ && part == nullptr) return;
      if (!core_.run(part, first, first + n)) return;
      next = first + n;
      pace.did(n);
    }
  }

  // A part of what is left, so that those who take the last ones end together. Returns how many
  // elements it is.
  std::size_t claim(std::size_t& first, const loop_pace& pace) noexcept {
    first = next_.load(prim::relaxed);
    std::size_t n = 0;
    do {
      const std::size_t rest = end_ - first;
      if (rest == 0 || core_.failed()) return 0;
      n = pace.block();
      if (core_.grain() == 0) n = std::clamp<std::size_t>(rest / 4, n / 16 + 1, n);
      n = std::min(n, rest);
    } while (!next_.compare_exchange_weak(first, first + n, prim::relaxed));
    return n;
  }

  // Null: the loop has failed. Who adds a part fills it; others look at it when all have left.
  loop_part* add_part(std::size_t first) noexcept {
    loop_part* const mine = core_.new_part().release();
    if (mine == nullptr) return nullptr;
    mine->first_ = first;
    mine->next_ = parts_.load(prim::relaxed);
    while (!parts_.compare_exchange_weak(mine->next_, mine, prim::relaxed, prim::relaxed)) {
    }
    return mine;
  }

  // False: the loop has ended. What the caller did before it posted is known.
  bool enter() noexcept {
    std::size_t inside = inside_.load(prim::relaxed);
    do {
      if ((inside & closed) != 0) return false;
    } while (!inside_.compare_exchange_weak(inside, inside + one, prim::relaxed, prim::relaxed));
    return true;
  }
  // What was done inside is published here, also what those did who left before.
  void leave() noexcept {
    if (inside_.fetch_sub(one, prim::acq_rel) == (one | closed)) left_.complete();
  }

  void close() noexcept {
    if (inside_.fetch_or(closed, prim::acquire) == 0) return;
    for (unsigned turn = 0; turn != prim::limits::fork_turns; ++turn) {
      if (left_.done()) return;
      prim::pause();
    }
    wait_regardless(left_, wait_kind::join);
  }

  static constexpr std::size_t closed = 1;
  static constexpr std::size_t one = 2;

  loop_core& core_;
  const executor_ref where_;
  const std::size_t end_;
  const loop_pace pace_;
  const bool has_parts_;
  prim::atomic<unsigned> helpers_;  // that may still be called
  prim::atomic<std::size_t> next_;
  prim::atomic<loop_part*> parts_{nullptr};
  prim::atomic<std::size_t> inside_{0};  // `one` for each helper
  completion left_;                      // closed, and none inside
  prim::atomic<unsigned> references_{1};
};

void run_on_executor(loop_core& core, executor_ref where, loop_part* part, std::size_t first,
                     std::size_t count, const loop_pace& pace) {
  auto* const shared =
      new (std::nothrow) executor_loop(core, where, first, count, pace, part != nullptr);
  if (shared == nullptr) {
    loop_pace alone = pace;
    alone.start();
    core.run_rest(part, first, count, alone);
    return;
  }
  shared->run(part);
  if (part != nullptr) shared->append_parts_to(*part);
  shared->release();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
