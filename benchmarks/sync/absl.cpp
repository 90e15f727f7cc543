#include <absl/synchronization/mutex.h>

#include "rows.hpp"

namespace {

class contender {
 public:
  void lock() { mutex_.Lock(); }
  void unlock() { mutex_.Unlock(); }
  template <class Predicate>
  void wait(Predicate holds) {
    while (!holds()) changed_.Wait(&mutex_);
  }
  void wake() { changed_.Signal(); }

 private:
  absl::Mutex mutex_;
  absl::CondVar changed_;
};

class shared_contender {
 public:
  void lock() { mutex_.Lock(); }
  void unlock() { mutex_.Unlock(); }
  void lock_shared() { mutex_.ReaderLock(); }
  void unlock_shared() { mutex_.ReaderUnlock(); }

 private:
  absl::Mutex mutex_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender, shared_contender>(argc, argv); }
