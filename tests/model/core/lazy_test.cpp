#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/lazy.hpp>

#include <stdexcept>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::lazy;

struct value {
  explicit value(int n) : number(n) {}
  prim::cell<int> number;
};

// Fails when the value is published relaxed, with sleepers or without, when ready() or begin()
// reads relaxed, when two may make it, and when nobody is woken.
TEST(LazyModel, EverybodySeesTheOneValue) {
  holds([] {
    int made = 0;
    lazy shared([&] { return value(++made); });
    const auto look = [&] { model::check(shared->number.get() == 1); };
    prim::thread one(look);
    prim::thread other(look);
    look();
    one.join();
    other.join();
    model::check(made == 1);
  });
}

// Fails when a failure wakes nobody, or the first only, and when the next maker does not acquire
// what the failed one did.
TEST(LazyModel, TheNextOneTriesAgain) {
  holds([] {
    prim::cell<int> tries;
    int failures = 0;
    lazy shared([&] {
      tries.set(tries.get() + 1);
      if (tries.get() == 1) throw std::runtime_error("the first");
      return value(7);
    });
    const auto look = [&] {
      try {
        model::check(shared->number.get() == 7);
      } catch (const std::runtime_error&) {
        ++failures;
      }
    };
    prim::thread one(look);
    prim::thread other(look);
    look();
    one.join();
    other.join();
    model::check(failures == 1 && tries.get() == 2);
  });
}

// Fails when the one that was taken in the moment of its deadline does not receive its wake-up, and
// when withdraw says that nobody waits though another sleeps.
TEST(LazyModel, ADeadlineAgainstTheValue) {
  holds([] {
    lazy shared([] { return value(7); });
    const auto look = [&] { model::check(shared->number.get() == 7); };
    prim::thread maker(look);
    prim::thread hasty([&] {
      value* const v = shared.get_until(soon());
      if (v != nullptr) model::check(v->number.get() == 7);
    });
    look();
    maker.join();
    hasty.join();
  });
}

// Fails when a stop that has withdrawn a node does not wake its thread.
TEST(LazyModel, AStopAgainstTheValue) {
  holds([] {
    lazy shared([] { return value(7); });
    prim::stop_source source;
    prim::thread maker([&] { shared.get(); });
    prim::thread stoppable([&] {
      value* const v = shared.get(source.get_token());
      model::check(v != nullptr ? v->number.get() == 7 : source.stop_requested());
    });
    source.request_stop();
    maker.join();
    stoppable.join();
    model::check(shared.peek() != nullptr);
  });
}

// The maker needs its own value; another waits meanwhile, and is no maker. Fails when the
// numbers are not compared.
TEST(LazyModel, OnlyTheMakerIsToldOfARecursion) {
  holds([] {
    struct snake {
      lazy<int, snake>** self;
      int* told;
      int operator()() const {
        try {
          return (*self)->get();
        } catch (const heddle::recursive_initialization&) {
          if (++*told == 1) throw;
          return 7;
        }
      }
    };
    lazy<int, snake>* self = nullptr;
    int told = 0;
    lazy<int, snake> shared(snake{&self, &told});
    self = &shared;
    int refused = 0;
    const auto look = [&] {
      try {
        model::check(shared.get() == 7);
      } catch (const heddle::recursive_initialization&) {
        ++refused;
      }
    };
    prim::thread other(look);
    look();
    other.join();
    model::check(told == 2 && refused == 1, "each maker is told once, nobody else");
  });
}

}  // namespace
