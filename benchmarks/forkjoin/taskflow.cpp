// Taskflow: groups of asynchronous tasks, and its algorithms, each a graph that is made and run.
// The calling thread is none of the workers.
#include <taskflow/taskflow.hpp>

#include <taskflow/algorithm/for_each.hpp>
#include <taskflow/algorithm/reduce.hpp>
#include <taskflow/algorithm/sort.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "recursion.hpp"
#include "rows.hpp"

namespace {

tf::Executor* pool = nullptr;

struct fork {
  template <class F, class G>
  static void both(const F& f, const G& g) {
    tf::TaskGroup group = pool->task_group();
    group.silent_async([&f] { f(); });
    g();
    group.corun();
  }
  template <class F>
  static void each(std::size_t count, const F& f) {
    if (count == 0) return;
    tf::TaskGroup group = pool->task_group();
    for (std::size_t i = 0; i + 1 < count; ++i) group.silent_async([&f, i] { f(i); });
    f(count - 1);
    group.corun();
  }
};

class contender : public bench::recursion<contender, fork> {
 public:
  explicit contender(unsigned threads) : executor_(threads) { pool = &executor_; }

  template <class F>
  auto run(const F& f) {
    return executor_.async([&f] { return f(); }).get();
  }
  template <class F>
  auto inside(const F& f) {
    return f();
  }
  template <class F>
  void loop(std::size_t count, const F& f) {
    tf::Taskflow graph;
    graph.for_each_index(std::size_t{0}, count, std::size_t{1}, f);
    executor_.run(graph).wait();
  }
  template <class F>
  void uneven(std::size_t count, const F& f) {
    tf::Taskflow graph;
    graph.for_each_index(std::size_t{0}, count, std::size_t{1}, f, tf::DynamicPartitioner(1));
    executor_.run(graph).wait();
  }
  void sort(std::int32_t* first, std::int32_t* last) {
    tf::Taskflow graph;
    graph.sort(first, last);
    executor_.run(graph).wait();
  }
  std::uint64_t sum(const std::uint32_t* first, const std::uint32_t* last) {
    tf::Taskflow graph;
    std::uint64_t total = 0;
    graph.reduce(first, last, total, std::plus<std::uint64_t>());
    executor_.run(graph).wait();
    return total;
  }

 private:
  tf::Executor executor_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
