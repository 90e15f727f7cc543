// std::mutex, std::condition_variable and std::shared_mutex.
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "rows.hpp"

namespace {

class contender {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  template <class Predicate>
  void wait(Predicate holds) {
    std::unique_lock held(mutex_, std::adopt_lock);
    changed_.wait(held, holds);
    held.release();
  }
  void wake() { changed_.notify_one(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender, std::shared_mutex>(argc, argv); }
