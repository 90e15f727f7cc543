// Bulks: docs/protocols/bulk.md.

#include <cstddef>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::shutdown_mode;
using heddle::thread_pool;

// Fails when claim takes an index by a load and a store, and when cut moves the end so.
TEST(PoolBulkModel, EachIndexOnce) {
  holds(
      [] {
        prim::cell<int> runs[3];
        for (auto& r : runs) r.set(0);
        thread_pool pool(tiny(2));
        pool.submit_bulk(3, [&](std::size_t i) { runs[i].set(runs[i].get() + 1); }).get();
        for (auto& r : runs) model::check(r.get() == 1, "each index once");
      },
      one_preemption());
}

// Fails when a visitor does not put the entry back before it runs a task.
TEST(PoolBulkModel, TwoTasksRunAtTheSameTime) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post_bulk(2, [&](std::size_t i) { i == 0 ? m.first() : m.second(); });
      },
      one_preemption());
}

// Fails when nobody gives up what no visitor claimed.
TEST(PoolBulkModel, CancelInTheMiddle) {
  holds(
      [] {
        prim::cell<int> runs[2];
        for (auto& r : runs) r.set(0);
        thread_pool pool(tiny(1));
        auto f = pool.submit_bulk(2, [&](std::size_t i) { runs[i].set(1); });
        model::check(pool.shutdown(shutdown_mode::cancel).completed);
        model::check(f.ready(), "what is given up is counted");
        bool given_up = false;
        try {
          f.get();
        } catch (const heddle::cancelled&) {
          given_up = true;
        }
        model::check(given_up == (runs[0].get() + runs[1].get() < 2));
      },
      in_two_parts{});
}

}  // namespace
