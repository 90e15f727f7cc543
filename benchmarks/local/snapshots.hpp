// The rows of settings that are read all the time, and seldom updated. A contender is a class that
// is made with the first settings, and has
//   read(f)           calls f(settings) with the settings that are in force, and gives what f gives
//   update(settings)  by one thread at a time
//   enter()           what every reading thread holds meanwhile; may be absent
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <thread>

#include "measure.hpp"

namespace bench {

struct settings {
  std::uint64_t version = 0;
  std::uint64_t complement = ~std::uint64_t{0};
  std::uint64_t more[6] = {};
};

inline settings settings_of(std::uint64_t version) { return {version, ~version, {}}; }

// The call that every contender makes with what it has read: 0 if it is whole.
[[gnu::noipa]] inline std::uint64_t flaws_of(const settings& read) {
  return ~(read.version ^ read.complement);
}

// Updates a thousand times a second for as long as it is there, pinned as the n-th thread.
template <class Snapshot>
class writer {
 public:
  writer(Snapshot& to, unsigned n)
      : thread_([&to, n](const std::stop_token& stop) {
          pin_to(n);
          auto next = std::chrono::steady_clock::now();
          for (std::uint64_t version = 1; !stop.stop_requested(); ++version) {
            to.update(settings_of(version));
            next += std::chrono::milliseconds(1);
            std::this_thread::sleep_until(next);
          }
        }) {}

 private:
  std::jthread thread_;
};

// What f does, on a thread that may read.
template <class Snapshot, class F>
auto as_reader(Snapshot& snapshot, F f) {
  if constexpr (requires { snapshot.enter(); }) {
    [[maybe_unused]] const auto here = snapshot.enter();
    return f();
  } else {
    return f();
  }
}

// ns a read, and the call with what was read. arguments: THREADS [updates]
template <class Snapshot>
double read(const arguments& words) {
  const unsigned threads = words.threads(0);
  Snapshot snapshot{settings{}};
  std::optional<writer<Snapshot>> updates;
  if (words.has("updates")) updates.emplace(snapshot, threads);
  const cost of_one = median_of(threads, [&](std::uint64_t each) {
    return together(threads, [&](unsigned, auto timed) {
      as_reader(snapshot, [&] {
        timed([&snapshot, each] {
          std::uint64_t flaws = 0;
          for (std::uint64_t i = 0; i < each; ++i) {
            flaws += snapshot.read([](const settings& it) { return flaws_of(it); });
          }
          if (flaws != 0) fail("settings were read that nobody has made");
        });
      });
    });
  });
  updates.reset();
  const bool updated = as_reader(
      snapshot, [&] { return snapshot.read([](const settings& it) { return it.version; }) != 0; });
  if (updated != words.has("updates")) fail("the last update is not there");
  return of_one.wall;
}

}  // namespace bench
