#include <heddle/exec/pool_ref.hpp>

#include <stdexcept>
#include <utility>

#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

void pool_executor_post(void* self, job* j) noexcept {
  j->next = nullptr;
  static_cast<pool_core*>(self)->enqueue({j, j, 1});
}

void count_bulk_tasks(executor_ref pool, std::uint64_t count) noexcept {
  static_cast<pool_core*>(pool.self)->count_bulk_tasks(count);
}

namespace {

// The same as far as posting goes; told apart by its address.
void post_from_placed(void* self, job* j) noexcept { pool_executor_post(self, j); }

}  // namespace

pool_ref::pool_ref(thread_pool_options options) : core_(new pool_core(std::move(options))) {}
pool_ref::~pool_ref() { core_->destroy(); }

submission pool_ref::submit(job* first, job* last, std::size_t count) noexcept {
  return core_->submit({first, last, count});
}

void pool_ref::check_worker(unsigned number) const {
  if (number < core_->size()) return;
  throw std::invalid_argument("thread_pool::submit_to: worker " + std::to_string(number) + " of " +
                              std::to_string(core_->size()));
}

submission pool_ref::submit_to(unsigned number, job* j) noexcept {
  return core_->submit_to(number, j);
}

executor_ref pool_ref::executor() const noexcept { return {core_, &pool_executor_post}; }
executor_ref pool_ref::executor_of_placed() const noexcept { return {core_, &post_from_placed}; }
prim::stop_token pool_ref::stop_token() const noexcept { return core_->stop_token(); }

unsigned pool_ref::size() const noexcept { return core_->size(); }
unsigned pool_ref::index_limit() const noexcept { return core_->index_limit(); }
std::optional<unsigned> pool_ref::worker_index() const noexcept { return core_->worker_index(); }
const std::string& pool_ref::name() const noexcept { return core_->name(); }
pool_statistics pool_ref::statistics() const { return core_->statistics(); }
bool pool_ref::wait_idle(prim::time_point deadline) { return core_->wait_idle(deadline); }

shutdown_report pool_ref::shutdown(shutdown_mode mode, prim::time_point deadline) {
  return core_->shutdown(mode, deadline);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
