// An executor of one's own in ten lines, here for the thread that owns a user interface.

#include <cstdio>
#include <mutex>

#include <heddle/exec/thread_pool.hpp>

// [executor]
class main_thread_queue {
 public:
  heddle::executor_ref executor() noexcept {
    return {this, [](void* self, heddle::job* j) noexcept {
              auto* const queue = static_cast<main_thread_queue*>(self);
              const std::lock_guard lock(queue->mutex_);
              j->next = queue->jobs_;
              queue->jobs_ = j;
            }};
  }
  bool run_one() {
    std::unique_lock lock(mutex_);
    heddle::job* const j = jobs_;
    if (j == nullptr) return false;
    jobs_ = j->next;
    lock.unlock();
    j->run(j, heddle::verb::run);
    return true;
  }

 private:
  std::mutex mutex_;
  heddle::job* jobs_ = nullptr;
};
static_assert(heddle::executor<main_thread_queue>);
// [executor end]

int main() {
  main_thread_queue window;
  heddle::thread_pool pool(2);
  // [use]
  bool shown = false;
  auto done = pool.submit([] { return 6 * 7; })               // on a worker
                  .then(window.executor(), [&shown](int n) {  // on the main thread
                    std::printf("show %d\n", n);
                    shown = true;
                  });
  while (!done.ready()) window.run_one();
  // [use end]
  return shown ? 0 : 1;
}
