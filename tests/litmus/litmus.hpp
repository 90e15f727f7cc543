// Litmus tests: a few threads of a few operations, every outcome collected.
#pragma once

#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/thread.hpp>

namespace litmus {

using heddle::prim::acq_rel;
using heddle::prim::acquire;
using heddle::prim::relaxed;
using heddle::prim::release;
using heddle::prim::seq_cst;
using order = heddle::prim::memory_order;

// Two locations, and what the threads read.
struct place {
  heddle::prim::atomic<int> x{0}, y{0};
  int a = 0, b = 0, c = 0, d = 0;
};

using thread = std::function<void(place&)>;
// Each outcome as text: what `tell` made of the place when all threads had ended.
using outcomes = std::set<std::string>;

inline std::string digits(std::initializer_list<int> values) {
  std::string text;
  for (const int v : values) text += static_cast<char>('0' + v);
  return text;
}

// The last store in the modification order: nothing else may be read when all has happened before.
inline int last(heddle::prim::atomic<int>& x) { return x.load(relaxed); }

// Everything that the threads can do, with any number of stale reads and, unless four threads make
// that too long, of preemptions.
inline outcomes run(const std::vector<thread>& threads,
                    const std::function<std::string(place&)>& tell,
                    unsigned preemptions = heddle::model::unlimited) {
  heddle::model::options o;
  o.preemptions = preemptions;
  o.stale_reads = heddle::model::unlimited;
  outcomes seen;
  const auto result = heddle::model::explore(o, [&] {
    place p;
    std::vector<heddle::prim::thread> others;
    others.reserve(threads.size());
    for (std::size_t i = 1; i < threads.size(); ++i) {
      others.emplace_back([&p, &t = threads[i]] { t(p); });
    }
    threads[0](p);
    for (auto& t : others) t.join();
    seen.insert(tell(p));
  });
  if (result.failed || !result.complete) throw std::runtime_error(result.describe());
  return seen;
}

}  // namespace litmus
