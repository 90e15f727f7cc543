// A program that knows nothing of Heddle loads two plugins that use it: there is one library, whose
// thread-local values have their place also in threads that are older than it. Another plugin is
// unloaded, and loaded again, beneath threads that have values there.
// usage: host PLUGIN PLUGIN UNLOADED_PLUGIN
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <thread>

namespace {

using question = bool (*)();

question find(void* plugin, const char* name) {
  return plugin != nullptr ? reinterpret_cast<question>(dlsym(plugin, name)) : nullptr;
}

// Two threads use the plugin: one ends before it is unloaded, one behind.
bool can_be_unloaded(const char* name) {
  void* const plugin = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  const question use = find(plugin, "use_values_of_threads");
  const question used_twice = find(plugin, "has_been_used_twice");
  if (use == nullptr || used_twice == nullptr) return false;
  bool good[2] = {};
  std::thread([&] { good[0] = use(); }).join();
  std::atomic<int> step{0};
  std::thread stays([&] {
    good[1] = use();
    step.store(1);
    while (step.load() != 2) std::this_thread::yield();
  });
  while (step.load() != 1) std::this_thread::yield();
  const bool counted = used_twice();
  dlclose(plugin);
  const bool is_gone = dlopen(name, RTLD_NOW | RTLD_NOLOAD) == nullptr;
  if (!is_gone) std::fprintf(stderr, "%s is still loaded\n", name);
  step.store(2);
  stays.join();
  return good[0] && good[1] && counted && is_gone;
}

}  // namespace

int main(int, char** names) {
  std::atomic<question> asked{nullptr};
  bool old_thread_agrees = false;
  std::thread old_thread([&] {
    while (asked.load() == nullptr) std::this_thread::yield();
    old_thread_agrees = asked.load()();
  });

  bool agrees = true;
  for (int i = 1; i <= 2; ++i) {
    void* const plugin = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    const question here = find(plugin, "agrees_with_the_library");
    const question in_workers = find(plugin, "workers_agree");
    if (here == nullptr || in_workers == nullptr) {
      std::fprintf(stderr, "%s\n", dlerror());
      std::_Exit(1);
    }
    agrees = here() && in_workers() && agrees;
    asked.store(here);
  }
  old_thread.join();
  for (int turn = 0; turn < 2; ++turn) agrees = can_be_unloaded(names[3]) && agrees;
  return agrees && old_thread_agrees ? 0 : 1;
}
