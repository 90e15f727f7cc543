// What caches count. For the library's own use.
#pragma once

#include <chrono>
#include <cstdint>
#include <new>
#include <system_error>

#include <heddle/data/cache_options.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/cycle_counter.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/per_thread.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Look-ups: by each thread in its own place; where there is no memory for one, in a common one.
class lookup_counters {
 public:
  void count(bool hit) noexcept {
    try {
      counts& mine = counts_.local();
      (hit ? mine.hits : mine.misses).add();
    } catch (const std::bad_alloc&) {
      (hit ? unowned_hits_ : unowned_misses_).add();
    } catch (const std::system_error&) {
      (hit ? unowned_hits_ : unowned_misses_).add();
    }
  }
  void add_to(cache_statistics& s) const noexcept {
    s.hits += unowned_hits_.read();
    s.misses += unowned_misses_.read();
    counts_.for_each([&](const counts& c) {
      s.hits += c.hits.read();
      s.misses += c.misses.read();
    });
  }

 private:
  struct counts {
    owned_counter hits;
    owned_counter misses;
  };

  per_thread<counts> counts_;
  shared_counter unowned_hits_;
  shared_counter unowned_misses_;
};

// Computations, which are rare beside look-ups, and how long they took: by the cycle counter, whose
// rate is found out when somebody asks.
class HEDDLE_API load_counters {
 public:
  class timer {
   public:
    std::uint64_t cycles() const noexcept { return prim::cycle_count() - begin_; }

   private:
    std::uint64_t begin_ = prim::cycle_count();
  };

  void loaded(const timer& t) noexcept {
    loads_.add();
    cycles_.add(t.cycles());
  }
  void failed(const timer& t) noexcept {
    failures_.add();
    cycles_.add(t.cycles());
  }
  void waited() noexcept { waits_.add(); }
  void add_to(cache_statistics& s) const noexcept;

 private:
  const prim::time_point since_ = prim::clock::now();
  const std::uint64_t cycles_then_ = prim::cycle_count();
  shared_counter loads_;
  shared_counter failures_;
  shared_counter cycles_;
  shared_counter waits_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
