#include <heddle/coro/sync_wait.hpp>

#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// No job has this address.
job* asleep() noexcept { return reinterpret_cast<job*>(alignof(job)); }

job* reversed(job* newest) noexcept {
  job* eldest = nullptr;
  while (newest != nullptr) {
    job* const before = newest->next;
    newest->next = eldest;
    eldest = newest;
    newest = before;
  }
  return eldest;
}

}  // namespace

void waiting_loop::run(task_frame& task) noexcept {
  task.surround(
      {.executor = {this,
                    [](void* self, job* j) noexcept { static_cast<waiting_loop*>(self)->post(j); }},
       .stop = stop_.stop_possible() ? &stop_ : nullptr,
       .end = *this});
  task.run_here();
  for (;;) {
    for (job* j = take(); j != nullptr;) {
      if (j == &last_) return;
      job* const rest = j->next;
      j->run(j, verb::run);
      j = rest;
    }
  }
}

std::coroutine_handle<> waiting_loop::ended(task_end& self, task_frame&) noexcept {
  auto& loop = static_cast<waiting_loop&>(self);
  loop.post(&loop.last_);
  return nullptr;
}

void waiting_loop::post(job* j) noexcept {
  job* newest = newest_.load(prim::relaxed);
  do {
    j->next = newest == asleep() ? nullptr : newest;
  } while (!newest_.compare_exchange_weak(newest, j, prim::release, prim::relaxed));
  if (newest == asleep()) parker_.unpark();
}

// Eldest first. Sleeps until there is one.
job* waiting_loop::take() noexcept {
  for (;;) {
    if (job* const newest = newest_.exchange(nullptr, prim::acquire)) return reversed(newest);
    sleep();
  }
}

void waiting_loop::sleep() noexcept {
  wait_record record{.kind = wait_kind::join, .object = this, .name = "coro::sync_wait"};
  // The task may be running elsewhere, so it must be waited for.
  wait_regardless([&] {
    const blocking_region region(record);
    job* empty = nullptr;
    if (newest_.compare_exchange_strong(empty, asleep(), prim::relaxed)) parker_.park();
  });
}

}  // namespace heddle::inline HEDDLE_ABI::detail
