// Where tests of algorithms let them run.
#pragma once

#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/executor_ref.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace heddle_test {

// Takes nothing.
struct refusing_executor {
  heddle::executor_ref executor() noexcept {
    return {nullptr, [](void*, heddle::job* j) noexcept { j->run(j, heddle::verb::discard); }};
  }
};

// Runs a job in the middle of the post, as deep as jobs post jobs.
struct recursive_executor {
  heddle::executor_ref executor() noexcept {
    return {nullptr, [](void*, heddle::job* j) noexcept { j->run(j, heddle::verb::run); }};
  }
};

inline heddle::thread_pool_options workers(unsigned n) {
  heddle::thread_pool_options o;
  o.workers = n;
  return o;
}

// Calls body(where...) in each way there is: without a place on this thread and on workers, with a
// pool from outside and inside, with executors of all kinds. What body hands to an algorithm is
// better made outside of it: a lambda within is another one for each kind of `where`, and so is the
// algorithm.
template <class Body>
void at_every_place(Body body) {
  {
    SCOPED_TRACE("outside");
    body();
  }
  for (const unsigned n : {1U, 2U, 4U}) {
    SCOPED_TRACE(n);
    heddle::thread_pool pool(workers(n));
    {
      SCOPED_TRACE("on a worker");
      pool.submit([&] { body(); }).get();
    }
    {
      SCOPED_TRACE("from outside on a pool");
      body(pool);
    }
    {
      SCOPED_TRACE("on a worker on its pool");
      pool.submit([&] { body(pool); }).get();
    }
    {
      SCOPED_TRACE("a pool as an executor");
      heddle::executor_ref where = pool.executor();
      body(where);
      pool.submit([&] { body(where); }).get();
    }
    {
      SCOPED_TRACE("strand");
      const heddle::strand s(pool);
      heddle::executor_ref where = s.executor();
      body(where);
      s.submit([&] { body(where); }).get();
    }
  }
  const auto at = [&](auto&& e) {
    heddle::executor_ref where = e.executor();
    body(where);
  };
  {
    SCOPED_TRACE("inline executor");
    at(heddle::inline_executor{});
  }
  {
    SCOPED_TRACE("an executor that refuses");
    at(refusing_executor{});
  }
  {
    SCOPED_TRACE("an executor that recurses");
    at(recursive_executor{});
  }
  {
    SCOPED_TRACE("an executor that runs nothing before the loop has ended");
    heddle::manual_executor manual;
    at(manual);
    manual.drain();
    at(manual);
  }
  {
    SCOPED_TRACE("a pool that is closed");
    heddle::thread_pool pool(workers(2));
    pool.shutdown(heddle::shutdown_mode::cancel);
    body(pool);
  }
}

inline std::vector<std::size_t> interesting_sizes() {
  return {0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 100, 1'000, 1'023, 4'097};
}

}  // namespace heddle_test
