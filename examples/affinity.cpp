// Workers on CPUs of their own, in an order that fits their work, and a rank for their threads.

#include <cstdio>
#include <utility>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/topology.hpp>
#include <heddle/prim/scheduling.hpp>

namespace {

void print_orders() {
  // [orders]
  using heddle::kernel::placement;
  const heddle::kernel::topology machine = heddle::kernel::read_topology();
  for (const placement policy : {placement::compact, placement::scatter}) {
    const heddle::kernel::affinity wish{policy};
    std::printf("%s:", wish.to_string().c_str());
    for (const int cpu : heddle::kernel::assign_cpus(machine, wish, 4)) std::printf(" %d", cpu);
    std::printf("\n");
  }
  // [orders end]
}

}  // namespace

int main() {
  print_orders();

  // [options]
  heddle::thread_pool_options options;
  options.workers = 2;
  options.affinity = {heddle::kernel::placement::scatter};
  options.thread_priority = {.policy = heddle::prim::thread_policy::batch, .nice = 19};
  heddle::thread_pool pool(std::move(options));
  // [options end]

  // [places]
  for (unsigned worker = 0; worker < pool.size(); ++worker) {
    auto here = pool.submit_to(worker, [] { return heddle::prim::this_thread_affinity(); });
    std::printf("worker %u is on CPU %d\n", worker, here.get().front());
  }
  // [places end]
  return pool.statistics().misplaced == 0 ? 0 : 1;
}
