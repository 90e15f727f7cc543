#include <heddle/process/event_loop.hpp>

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

#include "inbox.hpp"
#include "launcher.hpp"
#include "loop_resident.hpp"
#include "timer_heap.hpp"

namespace heddle::inline HEDDLE_ABI::process {
namespace {

using std::chrono::steady_clock;

// What epoll returns with an event: a descriptor's number and generation, or one of these two. A
// generation is never 0, so that they cannot be mistaken for a descriptor.
constexpr std::uint64_t inbox_tag = 0;
constexpr std::uint64_t clock_tag = 1;

// A descriptor's registration. The generation changes with every watch and unwatch, so that an
// event fetched for an earlier registration of the same number is recognized and dropped.
struct registration {
  io_handler* handler = nullptr;
  std::uint32_t generation = 0;

  void renew(io_handler* h) noexcept {
    handler = h;
    if (++generation == 0) generation = 1;
  }
};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int checked(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

}  // namespace

struct event_loop::core {
  core()
      : epoll(checked(::epoll_create1(EPOLL_CLOEXEC), "event_loop: epoll_create1")),
        clock(checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                      "event_loop: timerfd_create")) {
    add(posted.descriptor(), inbox_tag);
    add(clock.get(), clock_tag);
  }

  void add(int descriptor, std::uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    checked(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &event), "event_loop: epoll_ctl");
  }

  void dispatch(std::uint64_t tag, std::uint32_t events) noexcept {
    const registration& r = registrations[static_cast<std::uint32_t>(tag)];
    if (r.handler != nullptr && r.generation == tag >> 32) r.handler->on_ready(events);
  }

  // Sets the kernel's clock to the earliest timer, unless it rings early enough. A clock left
  // behind by a disarmed timer rings once for nothing, which is cheaper than a call per disarm.
  void set_clock() {
    if (timers.empty() || timers.earliest().when_ >= clock_rings) return;
    clock_rings = timers.earliest().when_;
    // Zero would switch the clock off.
    const auto since_boot = std::max(clock_rings.time_since_epoch(), steady_clock::duration(1));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    itimerspec ring{};
    ring.it_value.tv_sec = seconds.count();
    ring.it_value.tv_nsec = std::chrono::nanoseconds(since_boot - seconds).count();
    checked(::timerfd_settime(clock.get(), TFD_TIMER_ABSTIME, &ring, nullptr),
            "event_loop: timerfd_settime");
  }

  // Fires what is due. Timers armed meanwhile wait for the next round, so that one that arms itself
  // again and again cannot keep the descriptors waiting.
  void fire() noexcept {
    std::uint64_t rings;
    [[maybe_unused]] const auto n = ::read(clock.get(), &rings, sizeof rings);
    clock_rings = steady_clock::time_point::max();
    const auto now = steady_clock::now();
    const std::uint64_t last = timers.last_order();
    while (!timers.empty()) {
      timer& t = timers.earliest();
      if (t.when_ > now || t.order_ > last) return;
      timers.remove(t);
      t.function_(t.argument_);
    }
  }

  inbox posted;
  unique_descriptor epoll;
  unique_descriptor clock;
  steady_clock::time_point clock_rings = steady_clock::time_point::max();
  std::vector<registration> registrations;  // by descriptor
  timer_heap timers;
  launcher children;
  loop_resident* residents = nullptr;
};

event_loop::event_loop() : core_(std::make_unique<core>()) {}

event_loop::~event_loop() {
  while (core_->residents != nullptr) core_->residents->abandon();
  // A discarded job may post another one.
  for (job_chain left = core_->posted.take_all(); !left.empty(); left = core_->posted.take_all()) {
    left.give(verb::discard);
  }
  core_->timers.clear();
}

void event_loop::run() {
  core& c = *core_;
  if (c.posted.stopped()) return;
  std::array<epoll_event, 64> events;
  for (;;) {
    c.set_clock();
    const int count =
        ::epoll_wait(c.epoll.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) fail("event_loop: epoll_wait");
    bool clock_rang = false;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      switch (event.data.u64) {
        case inbox_tag:
          c.posted.clear();
          break;
        case clock_tag:
          clock_rang = true;
          break;
        default:
          c.dispatch(event.data.u64, event.events);
      }
    }
    if (clock_rang) c.fire();
    auto [jobs, stopped] = c.posted.take();
    jobs.give(verb::run);
    if (stopped) return;
  }
}

void event_loop::stop() noexcept { core_->posted.stop(); }

void event_loop::restart() noexcept { core_->posted.restart(); }

void event_loop::post(job* j) noexcept { core_->posted.post(j); }

executor_ref event_loop::executor() noexcept {
  return {this, [](void* self, job* j) noexcept { static_cast<event_loop*>(self)->post(j); }};
}

void event_loop::watch(int descriptor, std::uint32_t events, io_handler& handler) {
  if (descriptor < 0) {
    errno = EBADF;
    fail("event_loop: watch");
  }
  core& c = *core_;
  const auto index = static_cast<std::uint32_t>(descriptor);
  if (index >= c.registrations.size()) c.registrations.resize(index + 1);
  registration renewed = c.registrations[index];
  renewed.renew(&handler);
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{renewed.generation} << 32) | index;
  const int operation = c.registrations[index].handler == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  checked(::epoll_ctl(c.epoll.get(), operation, descriptor, &event), "event_loop: watch");
  c.registrations[index] = renewed;
}

void event_loop::unwatch(int descriptor) noexcept {
  core& c = *core_;
  const auto index = static_cast<std::uint32_t>(descriptor);
  if (index >= c.registrations.size() || c.registrations[index].handler == nullptr) return;
  c.registrations[index].renew(nullptr);
  ::epoll_ctl(c.epoll.get(), EPOLL_CTL_DEL, descriptor, nullptr);
}

launcher& event_loop::children() noexcept { return core_->children; }

loop_resident*& event_loop::residents() noexcept { return core_->residents; }

timer::timer(event_loop& loop, function f, void* argument) noexcept
    : loop_(loop), function_(f), argument_(argument) {}

timer::~timer() { disarm(); }

void timer::arm(steady_clock::time_point when) { loop_.core_->timers.arm(*this, when); }

void timer::disarm() noexcept {
  if (armed()) loop_.core_->timers.remove(*this);
}

}  // namespace heddle::inline HEDDLE_ABI::process
