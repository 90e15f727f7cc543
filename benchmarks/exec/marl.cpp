// Marl's scheduler with threads of its own; whoever submits binds it first. It has no futures.
#include <marl/scheduler.h>

#include <utility>

#include "rows.hpp"

namespace {

class binding {
 public:
  explicit binding(marl::Scheduler& scheduler) { scheduler.bind(); }
  ~binding() { marl::Scheduler::unbind(); }
  binding(const binding&) = delete;
  binding& operator=(const binding&) = delete;
};

class contender {
 public:
  explicit contender(unsigned workers)
      : scheduler_(marl::Scheduler::Config().setWorkerThreadCount(static_cast<int>(workers))),
        binding_(scheduler_) {}

  template <class F>
  void post(F f) {
    marl::schedule(std::move(f));
  }
  binding as_producer() { return binding(scheduler_); }

 private:
  marl::Scheduler scheduler_;
  binding binding_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
