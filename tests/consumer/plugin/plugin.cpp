// Loaded by host.cpp: a plugin with hidden symbols that uses the shared library.
#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

// The thread's values, as code that this library inlined finds them and as the library's own does.
extern "C" __attribute__((visibility("default"))) bool agrees_with_the_library() {
  return heddle::prim::inlined_thread_values() == heddle::prim::thread_values();
}

extern "C" __attribute__((visibility("default"))) bool workers_agree() {
  heddle::thread_pool pool(2);
  return pool.submit(&agrees_with_the_library).get();
}
