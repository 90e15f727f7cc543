// Elements for tests of rings and queues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace heddle_test {

// Knows how many of its kind there are. A moved-from one has the value -1.
struct counted {
  static inline int alive = 0;

  explicit counted(int v) : value(v) { ++alive; }
  counted(const counted& other) : value(other.value) { ++alive; }
  counted(counted&& other) noexcept : value(std::exchange(other.value, -1)) { ++alive; }
  counted& operator=(const counted&) = default;
  counted& operator=(counted&& other) noexcept {
    value = std::exchange(other.value, -1);
    return *this;
  }
  ~counted() { --alive; }

  int value;
};

struct refused : std::runtime_error {
  refused() : std::runtime_error("refused") {}
};

// Copies, moves and assignments throw when it is their turn, with nothing changed.
struct throwing {
  static inline int until_refused = -1;  // so many more go well; negative: all
  static inline int alive = 0;

  explicit throwing(int v = 0) : value(v) {
    may_refuse();
    ++alive;
  }
  throwing(const throwing& other) : value(other.value) {
    may_refuse();
    ++alive;
  }
  throwing(throwing&& other) : value(other.value) {
    may_refuse();
    other.value = -1;
    ++alive;
  }
  throwing& operator=(const throwing& other) {
    may_refuse();
    value = other.value;
    return *this;
  }
  throwing& operator=(throwing&& other) {
    may_refuse();
    value = std::exchange(other.value, -1);
    return *this;
  }
  ~throwing() { --alive; }

  static void may_refuse() {
    if (until_refused == 0) throw refused();
    if (until_refused > 0) --until_refused;
  }

  int value;
};

// Lets `successes` operations of `throwing` go well within its scope, and no more.
class refusing_after {
 public:
  explicit refusing_after(int successes) { throwing::until_refused = successes; }
  ~refusing_after() { throwing::until_refused = -1; }
  refusing_after(const refusing_after&) = delete;
  refusing_after& operator=(const refusing_after&) = delete;
};

// Copying and converting may throw, moving does not: what most types are.
struct throws_when_copied {
  explicit throws_when_copied(int v) : value(v) { throwing::may_refuse(); }
  throws_when_copied(const throws_when_copied& other) : value(other.value) {
    throwing::may_refuse();
  }
  throws_when_copied(throws_when_copied&& other) noexcept : value(std::exchange(other.value, -1)) {}
  throws_when_copied& operator=(const throws_when_copied&) = default;
  throws_when_copied& operator=(throws_when_copied&& other) noexcept {
    value = std::exchange(other.value, -1);
    return *this;
  }
  ~throws_when_copied() = default;

  int value;
};

struct alignas(256) wide {
  std::uintptr_t self = address();
  int value = 0;

  wide() = default;
  explicit wide(int v) : value(v) {}
  wide(const wide& other) : value(other.value) {}
  wide(wide&& other) noexcept : value(other.value) {}
  wide& operator=(const wide& other) = default;
  wide& operator=(wide&& other) noexcept {
    value = other.value;
    return *this;
  }

  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(this); }
};

}  // namespace heddle_test
