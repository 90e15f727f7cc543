#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/job_list.hpp>
#include <heddle/prim/thread_local.hpp>

#include "nested_delegate.hpp"

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// The outermost inline job of a thread, and those that wait for it to return.
class inline_turn final : public nested_delegate {
 public:
  void append(job* j) noexcept { waiting_.append(j); }
  job* next() noexcept { return waiting_.pop(); }

 private:
  bool serves(executor_ref home) const noexcept override { return home.post_job == &run_inline; }

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
