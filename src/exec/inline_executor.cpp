#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/job_list.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// The outermost inline job of a thread, and those that wait for it to return. While it runs, waits
// for inline work are answered by running that work; all others are the outer delegate's.
class inline_turn final : public blocking_delegate {
 public:
  inline_turn() noexcept : outer_(exchange_blocking_delegate(this)) {}
  ~inline_turn() {
    // A child of fork begins without a delegate, and what was outside is not there any more.
    if (current_blocking_delegate() == this) exchange_blocking_delegate(outer_);
  }
  inline_turn(const inline_turn&) = delete;
  inline_turn& operator=(const inline_turn&) = delete;

  void append(job* j) noexcept { waiting_.append(j); }
  job* next() noexcept { return waiting_.pop(); }

  void help(executor_ref home, job* j) noexcept override {
    if (home.post_job == &run_inline) {
      j->run(j, verb::help);
    } else if (outer_ != nullptr) {
      outer_->help(home, j);
    }
  }
  void enter(wait_record& record) override {
    if (outer_ != nullptr) outer_->enter(record);
  }
  void leave(wait_record& record) noexcept override {
    if (outer_ != nullptr) outer_->leave(record);
  }

 private:
  blocking_delegate* const outer_;
  job_list waiting_;
};

}  // namespace

void run_inline(void*, job* j) noexcept {
  void*& slot = prim::thread_value(prim::thread_slot::inline_jobs);
  if (slot != nullptr) {
    static_cast<inline_turn*>(slot)->append(j);
    return;
  }
  inline_turn turn;
  slot = &turn;
  for (; j != nullptr; j = turn.next()) j->run(j, verb::run);
  slot = nullptr;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
