// How a token of the user's cancels a task.
#pragma once

#include <cstdint>
#include <utility>

#include <heddle/future/room.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

class future_state;

// Cancels a state when a token is tripped: work that has not begun is given up, work that runs is
// asked to stop.
//
// The callback may come while arm() has not returned yet, on this thread or another, when the
// callback object is not there to be destroyed. So arm() and the callback compete in one exchange,
// and the second one cancels. Whoever claims the state destroys the link before the result can be
// seen, and thereby waits for a callback that is under way on another thread; that one finds the
// state claimed, and does not wait for anybody. Inside the callback itself this does not wait.
// Protocol: docs/protocols/future.md.
class HEDDLE_API stop_link {
 public:
  explicit stop_link(prim::stop_token token) noexcept : token_(std::move(token)) {}
  ~stop_link();
  stop_link(const stop_link&) = delete;
  stop_link& operator=(const stop_link&) = delete;

  // By the maker, before anybody else knows the state. May cancel it at once.
  void arm(future_state& state) noexcept;

 private:
  enum class phase : std::uint8_t { arming, armed, tripped };
  struct trip {
    stop_link& link;
    future_state& state;
    void operator()() const noexcept;
  };

  using callback = prim::stop_callback<trip>;

  prim::stop_token token_;
  prim::atomic<phase> phase_{phase::arming};
  prim::cell<bool> made_{false};
  room_for<callback> callback_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
