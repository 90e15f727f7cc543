// Cells on their way home: how bundles pass from the threads that free to the one that owns, and
// how a heap passes from one owner to the next. The rest of a heap is its owner's alone.
#include <heddle/prim/hand_back.hpp>

#include <array>

#include "core.hpp"

namespace {

using namespace core_model;

struct left_cell {
  prim::cell<left_cell*> next;
  prim::cell<int> content;  // of its last user
};

// A heap of one shelf.
class home {
 public:
  // As one that frees cells of another thread's.
  void receive(left_cell& first, left_cell& last) {
    hand_back(&first, &last, returned_, owner_, [this] { tidy_up(); });
  }
  void receive(left_cell& one) { receive(one, one); }
  // The owner needs cells.
  left_cell* taken() { return returned_.empty() ? nullptr : returned_.take(); }
  bool try_claim() { return owner_.try_take(); }
  // The owner's thread ends.
  void retire() {
    tidy_up();
    owner_.give_up();
  }
  int put_away() const { return put_away_.get(); }

 private:
  void tidy_up() {
    for (left_cell* c = returned_.take(); c != nullptr; c = c->next.get()) {
      model::check(c->content.get() == 1, "it is seen as its last user left it");
      c->content.set(2);
      put_away_.set(put_away_.get() + 1);
    }
  }

  prim::detail::returned_stack<left_cell> returned_;
  prim::detail::ownership owner_{true};
  prim::cell<int> put_away_;
};

// Fails when a push does not release, or the taking does not acquire.
TEST(CellsModel, WhatComesHomeIsUsedAgain) {
  holds([] {
    home heap;
    std::array<left_cell, 3> cells;
    prim::thread first([&] {
      cells[0].content.set(1);
      cells[1].content.set(1);
      cells[0].next.set(&cells[1]);
      heap.receive(cells[0], cells[1]);
    });
    prim::thread second([&] {
      cells[2].content.set(1);
      heap.receive(cells[2]);
    });
    int used = 0;
    const auto use_again = [&] {
      for (left_cell* c = heap.taken(); c != nullptr; ++used) {
        left_cell* const next = c->next.get();
        model::check(c->content.get() == 1, "of its last user, and not handed out twice");
        c->content.set(3);
        c = next;
      }
    };
    use_again();
    use_again();
    first.join();
    second.join();
    use_again();
    model::check(used == 3, "none is lost");
  });
}

// A frame is used, freed on another thread, comes home and is used again, twice. Fails when the
// stack is pushed or taken relaxed.
TEST(CellsModel, OneCellGoesBackAndForth) {
  holds([] {
    home heap;
    left_cell cell;
    for (int round = 0; round < 2; ++round) {
      cell.content.set(0);
      prim::thread frees([&] {
        cell.content.set(1);
        heap.receive(cell);
      });
      left_cell* back = heap.taken();
      if (back != nullptr) model::check(back->content.get() == 1);
      frees.join();
      if (back == nullptr) back = heap.taken();
      model::check(back == &cell && back->next.get() == nullptr);
    }
  });
}

// Whoever comes too late for an owner that ends looks after it himself, or it waits for the next
// owner. Fails when a heap is claimed or given up relaxed, and when one is tidied without a claim.
TEST(CellsModel, WhatComesToAnEndingHeapIsNotLost) {
  holds([] {
    home heap;
    std::array<left_cell, 2> cells;
    const auto leave = [&](left_cell& c) {
      c.content.set(1);
      heap.receive(c);
    };
    prim::thread first([&] { leave(cells[0]); });
    prim::thread second([&] { leave(cells[1]); });
    heap.retire();
    first.join();
    second.join();
    model::check(heap.try_claim(), "nobody has it any more");
    heap.retire();
    model::check(heap.put_away() == 2, "late, not lost");
  });
}

// Fails when a heap is claimed or given up relaxed.
TEST(CellsModel, AHeapHasOneOwnerAtATime) {
  holds([] {
    home heap;
    left_cell cell;
    cell.content.set(1);
    heap.retire();
    prim::cell<int> owners;  // guarded by the heap
    const auto owns_it_once = [&] {
      if (!heap.try_claim()) return false;
      owners.set(owners.get() + 1);
      heap.retire();
      return true;
    };
    bool first_did = false;
    prim::thread first([&] { first_did = owns_it_once(); });
    prim::thread leaves([&] { heap.receive(cell); });
    const bool this_did = owns_it_once();
    first.join();
    leaves.join();
    model::check(owners.get() == int{first_did} + int{this_did});
    model::check(heap.try_claim());
    heap.retire();
    model::check(heap.put_away() == 1);
  });
}

}  // namespace
