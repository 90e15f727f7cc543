// Loaded and unloaded by host.cpp: a plugin that holds a counter, values of threads and a pool of
// objects, all of which are destroyed when it goes, while threads that have used them run on.
#include <heddle/data/object_pool.hpp>
#include <heddle/lockfree/counter.hpp>
#include <heddle/probe/per_thread.hpp>

#include <string>

namespace {

struct told {
  void left_behind() noexcept { ++turns; }
  void taken_over() noexcept { ++turns; }
  int turns = 0;
};

heddle::counter uses;
heddle::per_thread<told> values;
heddle::object_pool<std::string> texts([] { return std::string("made"); },
                                       [](std::string& s) { s = "reset"; });

}  // namespace

// To be called by a thread once.
extern "C" __attribute__((visibility("default"))) bool use_values_of_threads() {
  const bool first = ++uses == 1 && values.local().turns % 2 == 0;
  const auto text = texts.acquire();
  return first && (*text == "made" || *text == "reset");
}

extern "C" __attribute__((visibility("default"))) bool has_been_used_twice() {
  return uses.total() == 2;
}
