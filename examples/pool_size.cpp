// How many threads? What the kernel leaves to this process, and the sizes that follow from it.

#include <cstdio>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/kernel/quota.hpp>

int main() {
  // [cores]
  const heddle::kernel::core_budget budget = heddle::kernel::read_core_budget();
  std::printf("%d CPUs allowed, %.2f usable\n", budget.allowed, budget.usable());
  if (budget.quota) std::printf("limited by %s\n", budget.quota->cgroup.c_str());

  heddle::thread_pool pool;  // follows that number, also when it changes
  std::printf("%u workers\n", pool.size());
  // [cores end]
  return pool.size() == static_cast<unsigned>(heddle::kernel::whole_cores(budget.usable())) ? 0 : 1;
}
