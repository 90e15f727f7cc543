// What one writes in ten minutes: a deque and a mutex, and two condition variables to wait.
#include <condition_variable>
#include <deque>
#include <mutex>

#include "rows.hpp"

namespace {

using bench::item;

class naive {
 public:
  explicit naive(std::size_t capacity) : capacity_(capacity) {}
  bool push(item i) {
    const std::lock_guard lock(mutex_);
    if (items_.size() >= capacity_) return false;
    items_.push_back(i);
    return true;
  }
  bool pop(item& i) {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return false;
    i = items_.front();
    items_.pop_front();
    return true;
  }

 private:
  std::size_t capacity_;
  std::mutex mutex_;
  std::deque<item> items_;
};

struct unbounded : naive {
  explicit unbounded(std::size_t) : naive(static_cast<std::size_t>(-1)) {}
};

struct in_batches {
  explicit in_batches(std::size_t) {}
  struct producer {
    explicit producer(in_batches& q) : queue(q) {}
    std::size_t push(const item* first, std::size_t count) {
      const std::lock_guard lock(queue.mutex);
      queue.items.insert(queue.items.end(), first, first + count);
      return count;
    }
    in_batches& queue;
  };
  struct consumer {
    explicit consumer(in_batches& q) : queue(q) {}
    std::size_t pop(item* out, std::size_t most) {
      const std::lock_guard lock(queue.mutex);
      const std::size_t count = std::min(most, queue.items.size());
      const auto end = queue.items.begin() + static_cast<std::ptrdiff_t>(count);
      std::copy(queue.items.begin(), end, out);
      queue.items.erase(queue.items.begin(), end);
      return count;
    }
    in_batches& queue;
  };
  std::mutex mutex;
  std::deque<item> items;
};

class blocking {
 public:
  explicit blocking(std::size_t capacity) : capacity_(capacity) {}
  void put(item i) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return items_.size() < capacity_; });
    items_.push_back(i);
    lock.unlock();
    filled_.notify_one();
  }
  item get() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return !items_.empty(); });
    const item i = items_.front();
    items_.pop_front();
    lock.unlock();
    room_.notify_one();
    return i;
  }

 private:
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<item> items_;
};

}  // namespace

int main(int argc, char** argv) {
  using bench::plain;
  using bench::transfer;
  return bench::run(argc, argv,
                    {{"spsc", transfer<plain<naive>>},
                     {"bounded", transfer<plain<naive>>},
                     {"unbounded", transfer<plain<unbounded>>},
                     {"tokens", transfer<plain<unbounded>>},
                     {"batches", transfer<in_batches>},
                     {"blocking", bench::carry<blocking>},
                     {"linearizable", transfer<plain<unbounded>>}});
}
