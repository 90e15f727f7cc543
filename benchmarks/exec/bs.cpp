// BS::thread_pool in its light form, without priorities and pauses.
#include <BS_thread_pool.hpp>

#include <cstdint>
#include <utility>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) : pool_(workers) {}

  template <class F>
  void post(F f) {
    pool_.detach_task(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return pool_.submit_task(std::move(f));
  }
  template <class F>
  void post_bulk(std::uint64_t count, F f) {
    pool_.detach_sequence(std::uint64_t{0}, count, std::move(f));
  }

 private:
  BS::light_thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
