#include <heddle/data/object_pool.hpp>

#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::object_pool;
using heddle::object_pool_options;

// An object whose users must not meet, and must see what the user before did.
struct thing {
  prim::cell<int> users;
};
using thing_pool = object_pool<thing>;

void use(const thing_pool::lease& lease) {
  lease->users.write([](int& n) { model::check(++n == 1, "one user at a time"); });
  lease->users.write([](int& n) { --n; });
}

object_pool_options kept(std::size_t per_thread, std::size_t shared) {
  object_pool_options o;
  o.kept_per_thread = per_thread;
  o.kept_shared = shared;
  return o;
}

// Through the store. Fails when a portion is stored or fetched outside of the lock, and when it is
// fetched without being taken out.
TEST(ObjectPoolModel, AnObjectGoesFromThreadToThread) {
  holds([] {
    thing_pool objects(kept(0, 4));
    const auto take_and_give_back = [&] {
      const auto lease = objects.acquire();
      use(lease);
    };
    prim::thread other([&] {
      take_and_give_back();
      take_and_give_back();
    });
    take_and_give_back();
    other.join();
    const auto s = objects.statistics();
    model::check(s.created <= 2 && s.created + s.reused == 3 && s.returned == 3);
  });
}

// A thread gives back what another took, and keeps it; then it ends. Fails when an ending thread
// keeps its objects, or stores them outside of the lock.
TEST(ObjectPoolModel, AnEndedThreadLeavesItsObjects) {
  holds([] {
    thing_pool objects(kept(2, 4));
    auto lease = objects.acquire();
    use(lease);
    prim::thread other([&, mine = std::move(lease)]() mutable {
      use(mine);
      mine.give_back();
    });
    std::optional<thing_pool::lease> mine(objects.acquire());  // perhaps the other's
    use(*mine);
    mine->discard();
    const bool was_another = objects.statistics().created == 2;
    other.join();
    mine.emplace(objects.acquire());
    use(*mine);
    model::check(!was_another || objects.statistics().created == 2, "the ended thread's is found");
  });
}

// The pool ends while a lease ends on another thread. Fails when either fence of the pair is left
// out, when nobody waits for who is inside, when a place is left, or found left, relaxed, when the
// count of leases that are out is exchanged relaxed, and when a lease counts as ended before its
// object is destroyed.
TEST(ObjectPoolModel, EndsBesideALease) {
  holds([] {
    std::optional<thing_pool> objects(std::in_place, kept(1, 1));
    prim::thread other([mine = objects->acquire()]() mutable {
      use(mine);
      mine.give_back();
    });
    objects.reset();
    other.join();
  });
}

// Beside three of them, one of which finds no room. Fails as the one before.
TEST(ObjectPoolModel, EndsBesideLeasesOfTwoThreads) {
  model::options o;
  o.stale_reads = 1;
  o.spurious_failures = 0;
  holds(
      [] {
        std::optional<thing_pool> objects(std::in_place, kept(1, 0));
        prim::thread first([mine = objects->acquire()]() mutable { use(mine); });
        prim::thread second([mine = objects->acquire(), too = objects->acquire()]() mutable {
          too.give_back();
          use(mine);
        });
        objects.reset();
        first.join();
        second.join();
      },
      o);
}

// Where there may be no memory for a place of the thread that gives back. Fails when such a thread
// does not look whether the pool is closed, be it before it stores or before it counts, and when
// close leaves out what such threads have counted.
TEST(ObjectPoolModel, EndsBesideALeaseOfAThreadWithoutAPlace) {
  model::options o;
  o.allocation_failures = 1;
  holds(
      [] {
        try {
          std::optional<thing_pool> objects(std::in_place, kept(0, 1));
          prim::thread other([mine = objects->acquire()]() mutable {
            use(mine);
            mine.give_back();
          });
          objects.reset();
          other.join();
        } catch (const std::bad_alloc&) {
        } catch (const std::system_error&) {
        }
      },
      o);
}

// Fails when an ending thread stores its objects without entering its place.
TEST(ObjectPoolModel, EndsBesideAThreadThatEnds) {
  holds([] {
    std::optional<thing_pool> objects(std::in_place, kept(2, 2));
    prim::atomic<bool> used{false};
    prim::thread other([&] {
      {
        const auto lease = objects->acquire();
        use(lease);
      }
      used.store(true, prim::release);
    });
    while (!used.load(prim::acquire)) prim::yield();
    objects.reset();
    other.join();
  });
}

// Fails when the bound is looked at and the count stored in two steps.
TEST(ObjectPoolModel, NeverHasMoreThanItMay) {
  holds([] {
    object_pool_options o = kept(0, 2);
    o.most = 1;
    thing_pool objects(o);
    prim::atomic<int> out{0};
    const auto try_to_use = [&] {
      const auto lease = objects.try_acquire();
      if (!lease) return;
      model::check(out.fetch_add(1, prim::relaxed) == 0, "there is one object");
      out.fetch_sub(1, prim::relaxed);
    };
    prim::thread other(try_to_use);
    try_to_use();
    other.join();
    model::check(objects.statistics().created == 1);
    model::check(static_cast<bool>(objects.try_acquire()), "it is at hand");
  });
}

}  // namespace
