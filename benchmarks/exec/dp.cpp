// DeveloperPaul123's thread pool.
#include <thread_pool/thread_pool.h>

#include <utility>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) : pool_(workers) {}

  template <class F>
  void post(F f) {
    pool_.enqueue_detach(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return pool_.enqueue(std::move(f));
  }

 private:
  dp::thread_pool<> pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
