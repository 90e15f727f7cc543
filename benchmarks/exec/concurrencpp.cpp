// concurrencpp's thread_pool_executor, which keeps its threads while the measurement lasts.
#include <concurrencpp/concurrencpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers)
      : pool_(runtime_.make_executor<concurrencpp::thread_pool_executor>(
            "bench", workers, std::chrono::minutes(10))) {}

  template <class F>
  void post(F f) {
    pool_->post(std::move(f));
  }
  template <class F>
  auto submit(F f) {
    return pool_->submit(std::move(f));
  }
  template <class F>
  void post_bulk(std::uint64_t count, F f) {
    const auto task = [f](std::uint64_t i) { return [f, i] { f(i); }; };
    std::vector<decltype(task(0))> tasks;
    tasks.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) tasks.push_back(task(i));
    pool_->template bulk_post<decltype(task(0))>(std::span(tasks));
  }

 private:
  concurrencpp::runtime runtime_;
  std::shared_ptr<concurrencpp::thread_pool_executor> pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
