// A bounded buffer with a lost wake-up: found, replayed, mended.
// The guide that quotes this is docs/guide/model-checking.md.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <utility>

#include <heddle/model.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>

namespace model = heddle::model;
namespace prim = heddle::prim;

// [buffer]
class bounded_buffer {
 public:
  explicit bounded_buffer(std::size_t room) : room_(room) {}

  void put(int value) {
    const prim::scoped_lock lock(mutex_);
    while (full()) changed_.wait(mutex_);
    values_.write([&](auto& v) { v.push_back(value); });
    changed_.notify_one();
  }

  int take() {
    const prim::scoped_lock lock(mutex_);
    while (empty()) changed_.wait(mutex_);
    const int value = values_.write([](auto& v) {
      const int first = v.front();
      v.pop_front();
      return first;
    });
    changed_.notify_one();
    return value;
  }

 private:
  bool full() const {
    return values_.read([&](auto& v) { return v.size() == room_; });
  }
  bool empty() const {
    return values_.read([](auto& v) { return v.empty(); });
  }

  const std::size_t room_;
  prim::mutex mutex_;
  prim::condition_variable changed_;
  prim::cell<std::deque<int>> values_;
};
// [buffer end]

// [mended]
class mended_buffer {
 public:
  explicit mended_buffer(std::size_t room) : room_(room) {}

  void put(int value) {
    const prim::scoped_lock lock(mutex_);
    while (full()) not_full_.wait(mutex_);
    values_.write([&](auto& v) { v.push_back(value); });
    not_empty_.notify_one();
  }

  int take() {
    const prim::scoped_lock lock(mutex_);
    while (empty()) not_empty_.wait(mutex_);
    const int value = values_.write([](auto& v) {
      const int first = v.front();
      v.pop_front();
      return first;
    });
    not_full_.notify_one();
    return value;
  }
  // [mended end]

 private:
  bool full() const {
    return values_.read([&](auto& v) { return v.size() == room_; });
  }
  bool empty() const {
    return values_.read([](auto& v) { return v.empty(); });
  }

  const std::size_t room_;
  prim::mutex mutex_;
  prim::condition_variable not_full_, not_empty_;
  prim::cell<std::deque<int>> values_;
};

// [body]
template <class Buffer>
void two_producers_two_consumers() {
  Buffer buffer(1);
  int first = 0;
  prim::thread producer([&] { buffer.put(1); });
  prim::thread other_producer([&] { buffer.put(2); });
  prim::thread consumer([&] { first = buffer.take(); });
  const int second = buffer.take();
  producer.join();
  other_producer.join();
  consumer.join();
  model::check(first + second == 3, "each value is taken once");
}
// [body end]

int main() {
  // [explore]
  model::options options;
  options.name = "bounded_buffer";
  options.preemptions = 1;
  const model::result result = model::explore(options, two_producers_two_consumers<bounded_buffer>);
  std::puts(result.describe().c_str());
  // [explore end]
  if (!result.failed) return 1;

  // What a user does on the command line: the same execution again, and only that one.
  setenv("HEDDLE_MODEL_REPLAY", result.trail.c_str(), 1);
  const model::result replayed =
      model::explore(options, two_producers_two_consumers<bounded_buffer>);
  unsetenv("HEDDLE_MODEL_REPLAY");
  if (!replayed.failed || replayed.message != result.message || replayed.executions != 1) return 1;

  options.name = "mended_buffer";
  const model::result mended = model::explore(options, two_producers_two_consumers<mended_buffer>);
  std::puts(mended.describe().c_str());
  return mended.complete ? 0 : 1;
}
