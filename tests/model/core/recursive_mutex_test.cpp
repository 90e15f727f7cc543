#include <heddle/sync/recursive_mutex.hpp>

#include <mutex>

#include "core.hpp"

namespace {

using namespace core_model;

// Fails when the inner unlock lets the lock go, when the outer one leaves the mark of its thread
// behind, and when it takes the mark out after it has let go.
TEST(RecursiveMutexModel, ExcludesAtEveryDepth) {
  holds([] {
    heddle::recursive_mutex lock;
    prim::cell<int> value{0};
    const auto add_twice = [&] {
      const std::scoped_lock outer(lock);
      {
        const std::scoped_lock inner(lock);
        value.set(value.get() + 1);
      }
      value.set(value.get() + 1);
    };
    prim::thread other(add_twice);
    add_twice();
    add_twice();
    other.join();
    model::check(value.get() == 6);
  });
}

}  // namespace
