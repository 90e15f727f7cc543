// A program that knows nothing of Heddle loads two plugins that use it: there is one library, whose
// thread-local values have their place also in threads that are older than it.
// usage: host PLUGIN PLUGIN
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <thread>

namespace {

using question = bool (*)();

question find(void* plugin, const char* name) {
  return plugin != nullptr ? reinterpret_cast<question>(dlsym(plugin, name)) : nullptr;
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
  return agrees && old_thread_agrees ? 0 : 1;
}
