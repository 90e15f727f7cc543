#include <heddle/sync/condition_variable.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/rw_lock.hpp>

#include <string>

#include "rows.hpp"

namespace {

class contender {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  void record(const std::string& what) {
    mutex_.record(what == "all"       ? heddle::lock_recording::all
                  : what == "sampled" ? heddle::lock_recording::sampled
                                      : heddle::lock_recording::off);
  }
  template <class Predicate>
  void wait(Predicate holds) {
    changed_.wait(mutex_, holds);
  }
  void wake() { changed_.notify_one(); }

 private:
  heddle::mutex mutex_;
  heddle::condition_variable changed_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender, heddle::rw_lock>(argc, argv); }
