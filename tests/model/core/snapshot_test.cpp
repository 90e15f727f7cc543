#include <heddle/data/snapshot.hpp>

#include <optional>
#include <utility>
#include <vector>

#include "core.hpp"

namespace {

using namespace core_model;

// In a model a thread has one slot, so its second guard is counted.
struct value {
  explicit value(int number) : n(number) { ++alive; }
  value(value&& other) noexcept : n(other.get()) { ++alive; }
  ~value() { --alive; }
  int get() const { return n.get(); }

  prim::cell<int> n;
  static inline int alive = 0;
};

using snapshot = heddle::snapshot<value>;

struct nobody {
  nobody() { value::alive = 0; }
};

struct snapshot_shared : nobody {
  ~snapshot_shared() { model::check(value::alive == (current.has_value() ? 1 : 0)); }

  void store(int n) { current->store(value(n)); }
  int read() {
    const auto g = current->read();
    const int seen = g->get();
    model::check(g.version() == static_cast<std::uint64_t>(seen));
    return seen;
  }

  std::optional<snapshot> current{std::in_place, value(1)};
};

// What is read is not destroyed, and what is replaced is. Fails when enter_in does not fence, or
// does not look at the current value again; when retire does not fence before it looks at the
// slots, or does not look; when publish stores the value with less than release; when let_go
// empties the slot relaxed, or is_in_slot, add and take_unread all read slots relaxed.
TEST(SnapshotModel, AReaderAgainstAnUpdate) {
  holds([] {
    snapshot_shared s;
    prim::thread reader([&] {
      const int first = s.read();
      model::check(s.read() >= first);
    });
    s.store(2);
    reader.join();
    model::check(value::alive == 1);
    model::check(s.read() == 2);
  });
}

// The last reader destroys what was replaced beneath it, at once. Fails when let_go does not fence
// or does not look whether it is wanted; when add does not say so; when retire does not fence or
// sweep behind that; and when take_unread takes what is in a slot, or forgets what is not.
TEST(SnapshotModel, AReaderThatStaysLonger) {
  holds([] {
    snapshot_shared s;
    {
      auto mine = s.current->read();
      prim::thread writer([&] { s.store(2); });
      model::check(mine->get() == 1);
      {
        const auto gone = std::move(mine);
      }
      writer.join();
    }
    model::check(value::alive == 1);
  });
}

// Two values are replaced beneath two readers. Fails when take_unread says that a slot is no longer
// wanted in which it has seen a retired value.
TEST(SnapshotModel, TwoReadersAndTwoUpdates) {
  model::options o;
  o.stale_reads = 1;
  holds(
      [] {
        snapshot_shared s;
        prim::thread reader([&] { s.read(); });
        {
          const auto mine = s.current->read();
          prim::thread writer([&] {
            s.store(2);
            s.store(3);
          });
          model::check(mine->get() == 1);
          writer.join();
          model::check(mine->get() == 1);
        }
        reader.join();
        model::check(value::alive == 1);
      },
      o);
}

// A guard ends on another thread while its slot is used again. Fails when hold_current looks for an
// empty slot relaxed, and when enter_in fills it relaxed.
TEST(SnapshotModel, AGuardEndsOnAnotherThread) {
  holds([] {
    snapshot_shared s;
    auto mine = s.current->read();
    prim::thread other([&, g = std::move(mine)]() mutable {
      model::check(g->get() == 1);
      const auto gone = std::move(g);
    });
    prim::thread writer([&] { s.store(2); });
    s.read();
    writer.join();
    other.join();
    model::check(value::alive == 1);
  });
}

// Counted guards and kept values. Fails when hold_counted counts without the lock, or publish
// stores without it; when drop counts relaxed.
TEST(SnapshotModel, CountedReaders) {
  holds([] {
    snapshot_shared s;
    prim::thread reader([&] {
      const auto first = s.current->read();
      const auto second = s.current->read();
      model::check(second->get() >= first->get());
      model::check(second.keep()->get() == second->get());
    });
    s.store(2);
    reader.join();
    model::check(value::alive == 1);
  });
}

// A kept value ends beside the update that replaces it. Fails when drop is relaxed.
TEST(SnapshotModel, AKeptValueEndsBesideAnUpdate) {
  holds([] {
    snapshot_shared s;
    prim::thread reader([&] {
      const auto kept = s.current->keep();
      model::check(kept->get() <= 2);
    });
    s.store(2);
    reader.join();
    model::check(value::alive == 1);
  });
}

// A guard outlives the snapshot, and ends on its own thread beside the destruction. Fails when the
// destructor does not look at the slots.
TEST(SnapshotModel, AGuardOutlivesItsSnapshot) {
  holds([] {
    snapshot_shared s;
    std::optional<snapshot::guard> g(s.current->read());
    prim::thread reader([&] {
      model::check((*g)->get() == 1);
      g.reset();
    });
    s.current.reset();
    reader.join();
    model::check(value::alive == 0);
  });
}

// Each update sees the one before. Fails when updates do not take turns.
TEST(SnapshotModel, UpdatesTakeTurns) {
  holds([] {
    snapshot_shared s;
    const auto add = [&] { s.current->update([](const value& v) { return value(v.get() + 1); }); };
    prim::thread other(add);
    add();
    other.join();
    model::check(s.read() == 3);
    model::check(value::alive == 1);
  });
}

// Behind the end of a subscription nobody calls. Fails when end does not wait for a call, and when
// begin_call does not look whether the listener is gone.
TEST(SnapshotModel, ASubscriptionEndsBesideAnUpdate) {
  holds([] {
    snapshot_shared s;
    prim::cell<int> heard(0);
    auto listening =
        s.current->subscribe([&](const snapshot::kept& now) { heard.set(now->get()); });
    prim::thread updater([&] { s.store(2); });
    listening.reset();
    model::check(heard.get() == 0 || heard.get() == 2);
    updater.join();
    model::check(value::alive == 1);
  });
}

// Two updates tell one listener, in their order, whoever calls. Fails when deliver leaves what came
// while it ended, and when publish appends behind the lock.
TEST(SnapshotModel, ListenersHearVersionsInOrder) {
  holds([] {
    snapshot_shared s;
    prim::cell<int> heard(1);
    const auto listening = s.current->subscribe([&](const snapshot::kept& now) {
      model::check(static_cast<int>(now.version()) == heard.get() + 1);
      heard.set(static_cast<int>(now.version()));
    });
    const auto add = [&] { s.current->update([](const value& v) { return value(v.get() + 1); }); };
    prim::thread other(add);
    add();
    other.join();
    model::check(heard.get() == 3);
    model::check(value::alive == 1);
  });
}

}  // namespace
