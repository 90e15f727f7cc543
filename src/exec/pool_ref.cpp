#include <heddle/exec/pool_ref.hpp>

#include <stdexcept>
#include <utility>

#include <heddle/future/state.hpp>

#include "pool_core.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

namespace {

// Who posts by the executor (a timer, the setter of a promise) does not own the pool, and its owner
// does not know of the call: once the job has run the pool may be destroyed before post has
// returned.
class borrowed_core {
 public:
  explicit borrowed_core(pool_core& core) noexcept
      : core_(core.is_held_by_this_thread() ? nullptr : &core) {
    if (core_ != nullptr) core_->retain();
  }
  ~borrowed_core() {
    if (core_ != nullptr) core_->release();
  }
  borrowed_core(const borrowed_core&) = delete;
  borrowed_core& operator=(const borrowed_core&) = delete;

 private:
  pool_core* core_;
};

}  // namespace

void pool_executor_post(void* self, job* j) noexcept {
  j->next = nullptr;
  try {
    pool_core& core = static_cast<pool_core*>(self)->current();
    const borrowed_core borrowed(core);
    core.enqueue({j, j, 1});
  } catch (...) {
    discard_on_trampoline(j);  // no thread can be started in this process
  }
}

bulk_visit::bulk_visit(executor_ref pool) noexcept
    : core_(static_cast<pool_core*>(pool.self)->current_if_made()),
      worker_(core_ == nullptr ? nullptr : core_->visitor()) {}

bulk_visit::~bulk_visit() {
  if (core_ != nullptr) core_->count_bulk_tasks(tasks_);
}

bool bulk_visit::goes_on() const noexcept {
  return worker_ != nullptr && tasks_ < longest && core_->bulk_goes_on(*worker_);
}

namespace {

// The same as far as posting goes; told apart by its address.
void post_from_placed(void* self, job* j) noexcept { pool_executor_post(self, j); }

void discard_all(job* first) noexcept {
  while (first != nullptr) {
    job* const rest = first->next;
    discard_on_trampoline(first);
    first = rest;
  }
}

}  // namespace

pool_core* core_behind(executor_ref where) noexcept {
  const bool is_pool = where.post_job == &pool_executor_post || where.post_job == &post_from_placed;
  return is_pool ? static_cast<pool_core*>(where.self) : nullptr;
}

pool_ref::pool_ref(thread_pool_options options) : core_(new pool_core(std::move(options))) {}

// Tasks may still keep the core, or that of the parent process, and are refused.
pool_ref::~pool_ref() {
  core_->close_unused();
  pool_core* const current = core_->current_if_made();
  if (current != core_) core_->abandon();
  if (current != nullptr) current->destroy();
}

// Of the pool that serves this process, or, where there is none yet, of the parent's.
pool_core& pool_ref::known() const noexcept {
  pool_core* const core = core_->current_if_made();
  return core != nullptr ? *core : *core_;
}

submission pool_ref::submit(job* first, job* last, std::size_t count) {
  pool_core* core = nullptr;
  try {
    core = &core_->current();
  } catch (...) {
    discard_all(first);
    throw;
  }
  return core->submit({first, last, count});
}

void pool_ref::check_worker(unsigned number) const {
  if (number < size()) return;
  throw std::invalid_argument("thread_pool::submit_to: worker " + std::to_string(number) + " of " +
                              std::to_string(size()));
}

submission pool_ref::submit_to(unsigned number, job* j) {
  pool_core* core = nullptr;
  try {
    core = &core_->current();
  } catch (...) {
    discard_on_trampoline(j);
    throw;
  }
  return core->submit_to(number, j);
}

// In a child that cannot start a thread: of the pool as it was, to which nothing can be submitted.
executor_ref pool_ref::executor() const noexcept {
  try {
    return {&core_->current(), &pool_executor_post};
  } catch (...) {
    return {core_, &pool_executor_post};
  }
}

executor_ref pool_ref::executor_of_placed() const noexcept {
  return {executor().self, &post_from_placed};
}

prim::stop_token pool_ref::stop_token() const { return core_->current().stop_token(); }

unsigned pool_ref::size() const noexcept { return known().size(); }
unsigned pool_ref::index_limit() const noexcept { return known().index_limit(); }
std::optional<unsigned> pool_ref::worker_index() const noexcept {
  const pool_core* const core = core_->current_if_made();
  return core == nullptr ? std::nullopt : core->worker_index();
}
const std::string& pool_ref::name() const noexcept { return core_->name(); }
bool pool_ref::in_order() const noexcept { return core_->in_order(); }
bool pool_ref::unused_after_fork() const noexcept { return core_->current_if_made() == nullptr; }

pool_statistics pool_ref::statistics() const {
  pool_core* const core = core_->current_if_made();
  return core == nullptr ? pool_statistics{} : core->statistics();
}

pool_report pool_ref::report() const {
  pool_core* const core = core_->current_if_made();
  if (core != nullptr) return core->full_report();
  pool_report unused;
  unused.name = core_->name();
  return unused;
}

std::vector<sizing::logged_choice> pool_ref::sizing_log() const {
  const pool_core* const core = core_->current_if_made();
  return core == nullptr ? std::vector<sizing::logged_choice>{} : core->sizing_log();
}

void pool_ref::set_sizing(bool on) { core_->current().set_sizing(on); }
bool pool_ref::sizing_is_on() const noexcept { return known().sizing_is_on(); }

bool pool_ref::wait_idle(prim::time_point deadline) {
  pool_core* const core = core_->current_if_made();
  return core == nullptr || core->wait_idle(deadline);
}

shutdown_report pool_ref::shutdown(shutdown_mode mode, prim::time_point deadline) {
  if (core_->close_unused()) return {.completed = true, .queued = 0, .running = {}};
  return core_->current().shutdown(mode, deadline);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
