// Loops: the trial that every loop begins with, and loops on pools. docs/protocols/loops.md.
#include <heddle/algorithm/dealt_loop.hpp>
#include <heddle/algorithm/loop.hpp>

#include <string>

#include <heddle/base/errors.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/exec/standing.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "loop_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

loop_part::~loop_part() = default;

std::unique_ptr<loop_part> loop_work::new_part() { return nullptr; }
void loop_work::append(loop_part&, loop_part&) {}

void refuse_inverted(const char* operation, unsigned long long by) {
  throw std::invalid_argument(std::string(operation).append(": the range ends ") +
                              std::to_string(by) + " before it begins");
}

void refuse_negative(const char* operation, long long first) {
  throw std::invalid_argument(std::string(operation).append(": from ") + std::to_string(first) +
                              " to an unsigned index");
}

namespace {

// What is left must take so long to be divided: a sleeper costs some microseconds to wake, and is
// late by some more; a thread that is no worker has the way to the pool and back as well.
constexpr std::uint64_t worth_forking_us = 20;
constexpr std::uint64_t worth_going_us = 100;
// The first elements find nothing in the caches. So much of the loop is done before it is judged.
constexpr std::uint64_t trial_us = 4;

// A loop on a pool. Each thread that takes part does its piece from the left, and has the right
// half of what is left in its lane; who takes that does likewise.
class pool_loop {
 public:
  explicit pool_loop(loop_core& core) noexcept : core_(core) {}

  void run(fork_lane& lane, loop_part* part, std::size_t first, std::size_t last,
           loop_pace& pace) noexcept {
    while (first != last && !core_.failed()) {
      const std::size_t rest = last - first;
      if (rest > pace.block() && lane.wants_a_child()) {
        const std::size_t middle = first + rest / 2;
        piece right(*this, middle, last, pace.block());
        if (lane.push(right)) {
          run(lane, part, first, middle, pace);
          if (!lane.take_back()) {
            lane.wait_for(right);
            if (right.part != nullptr) core_.append(*part, *right.part);
            return;
          }
          pace.start();
          first = middle;
          continue;
        }
      }
      const std::size_t n = std::min(pace.block(), rest);
      if (!core_.run(part, first, first + n)) return;
      first += n;
      pace.did(n, last - first);
    }
  }

 private:
  struct piece final : fork_job {
    piece(pool_loop& of, std::size_t from, std::size_t to, std::size_t begin_with) noexcept
        : fork_job(&taken<&piece::run_stolen>, fork_lane::context_of_this_thread()),
          loop(of),
          first(from),
          last(to),
          block(begin_with) {}

    static void run_stolen(fork_job* j) noexcept {
      auto& self = *static_cast<piece*>(j);
      loop_core& core = self.loop.core_;
      if (core.failed()) return;
      self.part = core.new_part();
      loop_pace pace(core.grain(), self.block);
      // A thread has its lane open while it runs what it has taken.
      self.loop.run(*fork_lane::of_this_thread(), self.part.get(), self.first, self.last, pace);
    }

    pool_loop& loop;
    const std::size_t first, last, block;
    std::unique_ptr<loop_part> part;
  };

  loop_core& core_;
};

// The rest of a loop, on a pool, as far as there is one that takes it.
void run_on_pool(loop_core& core, const loop_place& where, loop_part* part, std::size_t first,
                 std::size_t count, loop_pace& pace) {
  pool_loop loop(core);
  fork_lane* const lane = open_lane(where);
  if (lane != nullptr && lane->has_stack()) {
    loop.run(*lane, part, first, count, pace);
    return;
  }
  const auto go_on = [&] {
    pace.start();
    fork_lane* const open = open_lane(where);
    if (open != nullptr && open->has_stack()) {
      loop.run(*open, part, first, count, pace);
    } else {
      core.run_rest(part, first, count, pace);
    }
  };
  call_at(where, go_on);
}

// Does elements from the first on until it is known that what is left is worth a division, or
// nothing is left. Returns how many it did.
std::size_t try_alone(loop_work& work, std::size_t count, loop_part* part, std::uint64_t worth_us,
                      loop_pace& pace) {
  const std::uint64_t us = prim::cycles_per_microsecond();
  std::uint64_t spent = 0;
  std::size_t done = 0;
  for (std::size_t n = 1;; n = std::min(pace.block(), count - done)) {
    work.run(part, done, done + n);
    done += n;
    if (done == count) return done;
    pace.did_first(n);
    spent += pace.took();
    if (spent >= trial_us * us && pace.estimate(count - done) > static_cast<double>(worth_us * us))
      return done;
  }
}

}  // namespace

bool is_at(const loop_place& where) noexcept {
  return where.executor() || standing_in(where.pool()) != standing::outside;
}

void call_at(const loop_place& where, void (*call)(void*), void* context) {
  if (where.executor()) return call(context);
  const fork_lane* const lane = open_lane(where);
  if (lane != nullptr && lane->has_stack()) return call(context);
  struct errand {
    void (*call)(void*);
    void* context;
    bool begun = false;
  } e{call, context};
  const fork_call run = [](void* c, fork_lane*) {
    auto& self = *static_cast<errand*>(c);
    self.begun = true;
    self.call(self.context);
  };
  try {
    if (thread_pool* const pool = where.pool()) {
      call_with_lane(*pool, run, &e);
    } else {
      call_with_lane(run, &e);
    }
  } catch (const would_starve&) {
    throw;
  } catch (...) {
    if (e.begun) throw;
    call(context);  // the pool takes nothing, or there is no memory, or no thread
  }
}

void run_loop(loop_work& work, std::size_t count, loop_part* part, loop_options options,
              const loop_place& where) {
  if (count == 0) return;
  const bool measures = options.grain == 0;
  if (!measures && count <= options.grain) return work.run(part, 0, count);
  const standing here = where.executor() ? standing::worker : standing_in(where.pool());
  if (measures && here == standing::only_worker) return work.run(part, 0, count);
  std::size_t done = 0;
  loop_pace pace(options.grain, 1);
  if (measures) {
    const bool is_here = here != standing::outside;
    done = try_alone(work, count, part, is_here ? worth_forking_us : worth_going_us, pace);
    if (done == count) return;
  }
  loop_core core(work, options.grain);
  if (where.executor()) {
    run_on_executor(core, where.executor(), part, done, count, pace);
  } else {
    run_on_pool(core, where, part, done, count, pace);
  }
  core.rethrow_failure();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
