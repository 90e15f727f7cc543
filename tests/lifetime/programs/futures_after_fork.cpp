// In a child process nobody will make ready what a thread of the parent was to make: whoever waits
// for it is told so. What is ready is read as usual.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include <heddle/future/future.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/future/when.hpp>
#include <heddle/prim/fork.hpp>

namespace {

using heddle::future;

int failures = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%d: %s\n", static_cast<int>(::getpid()), what);
  ++failures;
}

template <class F>
void throws_forked(const char* what, F f) {
  try {
    f();
    check(false, what);
  } catch (const heddle::forked&) {
  }
}

}  // namespace

int main() {
  using namespace std::chrono_literals;
  heddle::prim::watch_forks();
  heddle::promise<int> p;
  heddle::promise<int> q;
  heddle::promise<int> r;
  std::vector<future<int>> futures;
  futures.push_back(p.get_future());
  futures.push_back(q.get_future());
  auto shared = r.get_future().share();
  q.set_value(2);

  const pid_t child = ::fork();
  if (child == 0) {
    std::stop_source stop;
    future<int>& f = futures[0];
    throws_forked("get", [&] { f.get(); });
    throws_forked("get with a token", [&] { f.get(stop.get_token()); });
    throws_forked("wait", [&] { f.wait(); });
    throws_forked("wait_for", [&] { f.wait_for(1ms); });
    throws_forked("exception", [&] { static_cast<void>(f.exception()); });
    throws_forked("then", [&] { static_cast<void>(f.then_inline([](int) {})); });
    throws_forked("on_ready", [&] { f.on_ready([] {}); });
    throws_forked("wait for several", [&] { heddle::wait(futures); });
    throws_forked("as_completed", [&] { static_cast<void>(heddle::as_completed(futures)); });
    throws_forked("shared get", [&] { shared.get(); });
    throws_forked("when_all", [&] {
      std::vector<future<int>> given;
      given.push_back(std::move(f));
      static_cast<void>(heddle::when_all(std::move(given)));
    });
    check(futures[1].ready() && futures[1].get() == 2, "what was ready is read");

    heddle::promise<int> own;
    auto made_here = own.get_future();
    check(!made_here.wait_for(1ms), "a future of the child's own waits");
    own.set_value(3);
    check(made_here.get() == 3, "and is read");
    std::fflush(stderr);
    ::_exit(failures == 0 ? 0 : 1);
  }
  int status = 0;
  check(::waitpid(child, &status, 0) == child, "the child is waited for");
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
        "the child found everything as it should be");
  p.set_value(1);
  r.set_value(3);
  check(futures[0].get() == 1 && futures[1].get() == 2 && shared.get() == 3,
        "the parent goes on as if nothing had happened");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
