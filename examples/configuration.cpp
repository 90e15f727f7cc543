// A configuration that every request reads and an operator replaces, without a lock between them.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <heddle/data/snapshot.hpp>

using namespace std::chrono_literals;

// [config]
struct config {
  std::chrono::milliseconds timeout = 500ms;
  std::vector<std::string> servers;
};

// Throws for what no program could work with. The message goes to whoever tries to publish it.
void validate(const config& c) {
  if (c.timeout <= 0ms) throw std::invalid_argument("the timeout is not positive");
  if (c.servers.empty()) throw std::invalid_argument("there is no server");
}

heddle::snapshot<config> current(config{.servers = {"north", "south"}}, &validate);
// [config end]

namespace {

// [read]
std::string server_for(std::size_t request) {
  const auto now = current.read();  // one version for the whole function
  return now->servers[request % now->servers.size()];
}
// [read end]

// [update]
bool set_timeout(std::chrono::milliseconds timeout) {
  try {
    const auto version = current.update([&](config c) {
      c.timeout = timeout;
      return c;
    });
    std::printf("version %llu\n", static_cast<unsigned long long>(version));
    return true;
  } catch (const std::invalid_argument& e) {
    std::printf("refused: %s\n", e.what());  // nothing has changed
    return false;
  }
}
// [update end]

}  // namespace

int main() {
  // [subscribe]
  std::size_t known = 0;
  const auto listening = current.subscribe(
      [&](const heddle::snapshot<config>::kept& now) { known = now->servers.size(); });
  // [subscribe end]

  const auto before = current.keep();  // as long as it is wanted
  {
    std::vector<std::jthread> requests;
    for (int t = 0; t < 4; ++t) {
      requests.emplace_back([] {
        for (std::size_t i = 0; i < 1000; ++i) {
          if (server_for(i).empty()) std::abort();
        }
      });
    }
    if (!set_timeout(100ms) || set_timeout(-1ms)) return 1;
    current.store({.timeout = 200ms, .servers = {"east"}});
  }
  // Another bad one: refused whole, its good half as well.
  const auto refused = current.try_update([](config c) {
    c.timeout = 1s;
    c.servers.clear();
    return c;
  });
  std::printf("%lld ms, %zu servers; it began with %zu\n",
              static_cast<long long>(current.read()->timeout.count()), known,
              before->servers.size());
  return !refused && known == 1 && before->servers.size() == 2 && current.version() == 3 &&
                 current.read()->timeout == 200ms
             ? 0
             : 1;
}
