// An oracle for bodies: could what concurrent calls returned have come from calls one by one?
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model {

// Calls with their results. Made inside of the body, used by all of its threads.
//
// A call comes before another one when its end happens before the other's beginning. That is the
// order of real time as far as the program can tell; two calls that nothing orders may be taken in
// either order, even when one ran first.
template <class Call>
class history {
 public:
  // Makes a call: f() performs it, and returns it with its result.
  template <class F>
  Call record(F&& f) {
    const moment begun = moment::now();
    Call call = std::forward<F>(f)();
    entries_.push_back({call, begun, moment::now()});
    return call;
  }

  // Whether the calls, in some order that keeps what comes before what, are right one by one:
  // Specification is copied, and its apply(const Call&) performs the call and returns whether the
  // result is the right one.
  // Requires: at most 64 calls. Complexity: exponential in the number of calls at the same time.
  // Source: Wing and Gong, "Testing and verifying concurrent objects", JPDC 1993.
  template <class Specification>
  bool linearizable(const Specification& first) const {
    return can_continue(first, 0);
  }

  std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct entry {
    Call call;
    moment begun;
    moment ended;
  };

  template <class Specification>
  bool can_continue(const Specification& state, std::uint64_t done) const {
    bool all = true;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if ((done >> i & 1) != 0) continue;
      all = false;
      if (!may_be_next(i, done)) continue;
      Specification next = state;
      if (next.apply(entries_[i].call) && can_continue(next, done | std::uint64_t{1} << i)) {
        return true;
      }
    }
    return all;
  }

  bool may_be_next(std::size_t i, std::uint64_t done) const {
    for (std::size_t j = 0; j < entries_.size(); ++j) {
      if (j != i && (done >> j & 1) == 0 && entries_[j].ended.happens_before(entries_[i].begun)) {
        return false;
      }
    }
    return true;
  }

  std::vector<entry> entries_;
};

}  // namespace heddle::inline HEDDLE_ABI::model
