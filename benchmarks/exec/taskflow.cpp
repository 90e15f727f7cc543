// Taskflow's executor, with asynchronous tasks that belong to no graph.
#include <taskflow/taskflow.hpp>

#include <utility>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) : pool_(workers) {}

  template <class F>
  void post(F f) {
    pool_.silent_async(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return pool_.async(std::move(f));
  }

 private:
  tf::Executor pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
