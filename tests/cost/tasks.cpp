// Gives a pool of one worker tasks in rounds of a thousand and has callgrind count one side of it.
// While the tasks are submitted the worker is kept busy, and while the worker runs them the
// submitter sleeps, so each side does the same work in every run.
//
// What a task forks begins and ends on the worker: a child that nobody steals, of a task's
// outermost parallel_invoke ("enter") or of one inside another ("fork"); a task of a group, run by
// its waiter; a coroutine that is forked and joined ("coroutine"), or awaited at once ("await").
// And "loop": a loop of a thousand elements that do nothing; and "context": what work pays that
// carries the context of its maker, where there is none.
//
// usage: tasks post|submit submitter|worker|reader
//        tasks enter|fork|group|coroutine|await|loop|context worker
// Prints how many tasks were counted. Run it under callgrind with --collect-atstart=no.
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/context_slot.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/task_group.hpp>
#include <heddle/exec/thread_pool.hpp>

#include <valgrind/callgrind.h>

#include <cstdio>
#include <semaphore>
#include <string>
#include <vector>

namespace {

constexpr int tasks_a_round = 1000;
constexpr int rounds_before = 20;  // until the pool has the memory it needs
constexpr int rounds = 20;

void count(bool counts) {
  if (counts) CALLGRIND_TOGGLE_COLLECT;
}

enum class side { submitter, worker, reader, nobody };

// submit(body) gives the pool a task that calls body and keeps what comes back; read() reads and
// destroys that.
template <class Submit, class Read>
void play_round(heddle::thread_pool& pool, side counted, Submit submit, Read read) {
  std::binary_semaphore busy(0);
  std::binary_semaphore go_on(0);
  const bool counts_worker = counted == side::worker;
  pool.post([&, counts_worker] {
    busy.release();
    go_on.acquire();
    count(counts_worker);
  });
  busy.acquire();

  int have_run = 0;
  const auto body = [&have_run, counts_worker] {
    if (++have_run == tasks_a_round) count(counts_worker);
  };
  count(counted == side::submitter);
  for (int i = 0; i < tasks_a_round; ++i) submit(body);
  count(counted == side::submitter);

  go_on.release();
  pool.wait_idle();
  count(counted == side::reader);
  read();
  count(counted == side::reader);
}

template <class Submit, class Read>
void play(heddle::thread_pool& pool, side counted, Submit submit, Read read) {
  for (int i = 0; i < rounds_before; ++i) play_round(pool, side::nobody, submit, read);
  for (int i = 0; i < rounds; ++i) play_round(pool, counted, submit, read);
}

// Calls round() on the pool's worker, which gives rise to a thousand tasks there.
template <class Round>
void play_inside(heddle::thread_pool& pool, Round round) {
  pool.submit([&] {
        for (int i = 0; i < rounds_before; ++i) round();
        count(true);
        for (int i = 0; i < rounds; ++i) round();
        count(true);
      })
      .get();
}

heddle::coro::task<int> leaf(int i) { co_return i; }

// Calls leaf a thousand times a round, and counts as the others do.
template <bool forks>
heddle::coro::task<int> calls_of_leaf() {
  int sum = 0;
  for (int round = 0; round < rounds_before + rounds; ++round) {
    if (round == rounds_before) count(true);
    for (int i = 0; i < tasks_a_round; ++i) {
      if constexpr (forks) {
        auto child = co_await heddle::coro::fork(leaf(i));
        co_await heddle::coro::join();
        sum += child.get();
      } else {
        sum += co_await leaf(i);
      }
    }
  }
  count(true);
  co_return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string operation = argc == 3 ? argv[1] : "";
  const std::string name = argc == 3 ? argv[2] : "";
  const side counted = name == "submitter" ? side::submitter
                       : name == "worker"  ? side::worker
                       : name == "reader"  ? side::reader
                                           : side::nobody;
  heddle::thread_pool pool(1);
  if (counted == side::nobody) {
    std::fprintf(stderr,
                 "usage: tasks post|submit submitter|worker|reader, or "
                 "tasks enter|fork|group|coroutine|await|loop|context worker\n");
    return 2;
  }
  if (operation == "post") {
    play(pool, counted, [&](const auto& body) { pool.post(body); }, [] {});
  } else if (operation == "submit") {
    std::vector<heddle::future<void>> futures;
    futures.reserve(tasks_a_round);
    play(
        pool, counted, [&](const auto& body) { futures.push_back(pool.submit(body)); },
        [&] {
          for (auto& future : futures) future.get();
          futures.clear();
        });
  } else if (operation == "enter") {
    play_inside(pool, [] {
      for (int i = 0; i < tasks_a_round; ++i) heddle::parallel_invoke([] {}, [] {});
    });
  } else if (operation == "fork") {
    play_inside(pool, [] {
      heddle::parallel_invoke([] {
        for (int i = 0; i < tasks_a_round; ++i) heddle::parallel_invoke([] {}, [] {});
      });
    });
  } else if (operation == "group") {
    play_inside(pool, [] {
      heddle::task_group group;
      for (int i = 0; i < tasks_a_round; ++i) group.run([] {});
      group.wait();
    });
  } else if (operation == "coroutine") {
    heddle::coro::spawn(pool, calls_of_leaf<true>()).get();
  } else if (operation == "await") {
    heddle::coro::spawn(pool, calls_of_leaf<false>()).get();
  } else if (operation == "loop") {
    play_inside(pool, [] {
      for (int i = 0; i < tasks_a_round; ++i) heddle::parallel_for(0, 1000, [](int) {});
    });
  } else if (operation == "context") {
    play_inside(pool, [] {
      for (int i = 0; i < tasks_a_round; ++i) {
        const heddle::captured_context carried;
      }
    });
  } else {
    return 2;
  }
  std::printf("%d\n", rounds * tasks_a_round);
  return 0;
}
