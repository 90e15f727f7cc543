// Userspace RCU (Debian: liburcu-dev), in the form whose readers are as fast as can be without
// telling when they are quiet: inlined, the writer's membarrier() in place of their fences.
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <atomic>

#include "snapshots.hpp"

namespace {

using bench::settings;

class rcu {
 public:
  explicit rcu(const settings& first) : current_(new settings(first)) {}
  ~rcu() { delete current_.load(); }

  struct registered {
    registered() { urcu_memb_register_thread(); }
    ~registered() { urcu_memb_unregister_thread(); }
    registered(const registered&) = delete;
    registered& operator=(const registered&) = delete;
  };
  registered enter() const { return registered(); }

  template <class F>
  auto read(F f) const {
    urcu_memb_read_lock();
    const auto result = f(*current_.load(std::memory_order_acquire));
    urcu_memb_read_unlock();
    return result;
  }
  void update(const settings& next) {
    const settings* const before = current_.exchange(new settings(next));
    urcu_memb_synchronize_rcu();
    delete before;
  }

 private:
  std::atomic<const settings*> current_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run(argc, argv, {{"urcu read", bench::read<rcu>}});
}
