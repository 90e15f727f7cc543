// Cells that are taken and given back while static and thread_local objects are destroyed, and by
// threads that are still running then. Ends with status 0 when all of it worked.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <heddle/prim/cells.hpp>

namespace {

using heddle::prim::allocate_cell;
using heddle::prim::deallocate_cell;
using heddle::prim::flush_cells;

constexpr std::size_t bytes = 128;

struct hoard {
  ~hoard() {
    give_back();
    take(500);  // and start anew
    std::thread([this] {
      give_back();
      take(500);
    }).join();
    give_back();
    flush_cells();
  }
  void take(int n) {
    for (int i = 0; i < n; ++i) {
      kept.push_back(allocate_cell(bytes, 8));
      std::memset(kept.back(), mark, bytes);
    }
  }
  void give_back() {
    for (void* cell : kept) {
      for (std::size_t i = 0; i < bytes; ++i) {
        if (static_cast<unsigned char*>(cell)[i] == mark) continue;
        std::fprintf(stderr, "cells at exit: somebody else wrote to a cell\n");
        std::_Exit(1);
      }
      deallocate_cell(cell, bytes, 8);
    }
    kept.clear();
  }
  unsigned char mark;
  std::vector<void*> kept{};
};

hoard first{1};
thread_local hoard of_thread{2};
hoard last{3};

}  // namespace

int main() {
  first.take(1'000);
  of_thread.take(1'000);
  std::thread([] {
    of_thread.take(1'000);
    last.take(1'000);
  }).join();
  // Still at it when the process ends.
  std::atomic<int> begun{0};
  for (int i = 0; i < 3; ++i) {
    std::thread([&begun, i] {
      hoard restless{static_cast<unsigned char>(10 + i)};
      ++begun;
      for (;;) {
        restless.take(200);
        restless.give_back();
      }
    }).detach();
  }
  while (begun < 3) std::this_thread::yield();
}
