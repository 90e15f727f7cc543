#include <heddle/coro/gather.hpp>

#include <memory>

namespace heddle::inline HEDDLE_ABI::detail {

// Made anew, for its job has been in a queue.
reused_child& gathered_children<void>::next() {
  if (spare_ == nullptr) spare_ = ended_.exchange(nullptr, prim::acquire);
  if (spare_ == nullptr) return all_.emplace_back(*this);
  auto* const again = static_cast<reused_child*>(spare_);
  spare_ = spare_->next;
  std::destroy_at(again);
  return *std::construct_at(again, *this);
}

void gathered_children<void>::put_back(reused_child& ended) noexcept {
  ended.next = ended_.load(prim::relaxed);
  while (!ended_.compare_exchange_weak(ended.next, &ended, prim::release, prim::relaxed)) {
  }
}

// Once it is back it may be started again; the set is there until it has been told.
std::coroutine_handle<> reused_child::ended(task_end& end, task_frame& frame) noexcept {
  auto& self = static_cast<reused_child&>(end);
  const executor_ref ran_on = frame.executor();
  std::exception_ptr failure = frame.failed() ? frame.take_error() : nullptr;
  exchange_current(nullptr);  // the frame keeps it
  frame.handle().destroy();
  task_set& set = self.set();
  self.of_.put_back(self);
  return one_has_ended(set, ran_on, std::move(failure));
}

}  // namespace heddle::inline HEDDLE_ABI::detail
