#include <heddle/coro/delay.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

constinit const suspension::steps delay_wait::kind{
    [](suspension& s) {
      auto& self = static_cast<delay_wait&>(s);
      if (self.until_ <= prim::clock::now()) return false;
      timer_access::arm(timer_queue::standard(), self.link_, self.until_, &self.due_);
      return true;
    },
    [](suspension& s) noexcept { return static_cast<delay_wait&>(s).link_.leave(); }};

void delay_wait::due::act(job* j, verb v) noexcept {
  if (v == verb::help) return;
  static_cast<due*>(j)->self.arrive(v == verb::run ? ending::happened : ending::given_up);
}

// Also when the link has been taken out of the timers, it has yet to let go of them.
void delay_wait::await_resume() {
  const bool here = end();
  link_.leave();
  if (!here) throw_ending();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
