// Queues from many senders to one receiver.
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// A push into Vyukov's queue (1024cores.net, "Intrusive MPSC node-based queue") has two steps: the
// node becomes the newest, then the one before it is linked to it. In between the receiver cannot
// get at what was pushed, and takes the queue for empty. A context notified its thread only after a
// push into an empty queue.
// Source: NVIDIA/stdexec, issue 2230.
//
//   sender    pushes one node and notifies; of the next, makes it the newest
//   receiver  is awake, finds nothing that it can pop, waits
//   sender    links the node; the queue was not empty, so nobody is notified
//
// Mended: every push notifies.
struct node {
  prim::atomic<node*> next{nullptr};
};

class mpsc_queue {
 public:
  // True when the queue was empty.
  bool push(node* n) {
    n->next.store(nullptr, prim::relaxed);
    node* const before = newest_.exchange(n, prim::acq_rel);
    before->next.store(n, prim::release);
    return before == &stub_;
  }

  // nullptr when there is nothing, or nothing that can be reached yet.
  node* pop() {
    node* next = oldest_->next.load(prim::acquire);
    if (oldest_ == &stub_) {
      if (next == nullptr) return nullptr;
      oldest_ = next;
      next = oldest_->next.load(prim::acquire);
    }
    if (next == nullptr) {
      if (newest_.load(prim::acquire) != oldest_) return nullptr;
      push(&stub_);
      next = oldest_->next.load(prim::acquire);
      if (next == nullptr) return nullptr;
    }
    node* const popped = oldest_;
    oldest_ = next;
    return popped;
  }

 private:
  node stub_;
  prim::atomic<node*> newest_{&stub_};
  node* oldest_ = &stub_;
};

template <bool mended>
void receive_two() {
  mpsc_queue queue;
  node nodes[2];
  prim::mutex mutex;
  prim::condition_variable pushed;
  prim::thread sender([&] {
    for (node& n : nodes) {
      if (!queue.push(&n) && !mended) continue;
      const prim::scoped_lock lock(mutex);
      pushed.notify_one();
    }
  });
  for (int received = 0; received < 2;) {
    const prim::scoped_lock lock(mutex);
    if (queue.pop() != nullptr) {
      ++received;
    } else {
      pushed.wait(mutex);
    }
  }
  sender.join();
}

TEST(museum_channels, queue_that_looks_empty_in_mid_push) {
  museum::show(&receive_two<false>, museum::deadlock(), &receive_two<true>);
}

// The first sender of an unbounded channel installs its first block in two steps, `tail` then
// `head`. The last receiver, when it leaves, frees the block that it finds at `head`; the channel's
// end frees what stands there still. At first the receiver set `head` to null when it had finished,
// and a block installed meanwhile leaked. So it took the block by an exchange instead; but there
// was a second place that read `head`, where it waits for a sender that is between its two steps,
// and there the block stayed for the channel to free once more.
// Source: crossbeam-rs/crossbeam, pull request 1187, and 1084 for the leak.
//
//   first sender   installs its block at the tail; second sender counts a message of its own in it
//   receiver       exchanges the head: null; but there is a message, so it reads the head again
//   first sender   installs the block at the head; receiver reads it and frees it; so does the end
//
// Mended: both places exchange.
enum class receiver_leaves { leaking, freeing_twice, mended };

template <receiver_leaves form>
class channel {
 public:
  ~channel() { delete head_block_.load(prim::relaxed); }

  void send() {
    unsigned tail = tail_.load(prim::acquire);
    block* b = tail_block_.load(prim::acquire);
    while ((tail & closed) == 0) {
      if (b == nullptr) b = install();
      if (tail_.compare_exchange_strong(tail, tail + one_message, prim::acq_rel, prim::acquire)) {
        b->written[tail / one_message].store(true, prim::release);
        return;
      }
    }
  }

  void close() {
    const unsigned tail = tail_.fetch_or(closed, prim::acq_rel);
    block* b = form == receiver_leaves::leaking ? head_block_.load(prim::acquire) : take_head();
    if (tail != 0) {
      while (b == nullptr) {
        prim::pause();
        b = form == receiver_leaves::mended ? take_head() : head_block_.load(prim::acquire);
      }
      for (unsigned i = 0; i < tail / one_message; ++i) {
        while (!b->written[i].load(prim::acquire)) prim::pause();
      }
    }
    delete b;
    if (form == receiver_leaves::leaking) head_block_.store(nullptr, prim::release);
  }

 private:
  struct block {
    prim::atomic<bool> written[2];
  };
  static constexpr unsigned closed = 1;
  static constexpr unsigned one_message = 2;

  block* install() {
    block* installed = nullptr;
    auto* const fresh = new block;
    if (tail_block_.compare_exchange_strong(installed, fresh, prim::acq_rel, prim::acquire)) {
      head_block_.store(fresh, prim::release);
      return fresh;
    }
    delete fresh;
    return installed;
  }
  block* take_head() { return head_block_.exchange(nullptr, prim::acq_rel); }

  prim::atomic<unsigned> tail_{0};
  prim::atomic<block*> head_block_{nullptr}, tail_block_{nullptr};
};

template <receiver_leaves form>
void receiver_leaves_early() {
  channel<form> messages;
  prim::thread first([&] { messages.send(); });
  prim::thread second([&] { messages.send(); });
  messages.close();
  first.join();
  second.join();
}

TEST(museum_channels, double_free_from_mending_a_leak) {
  museum::expect_failure("leaking", &receiver_leaves_early<receiver_leaves::leaking>,
                         museum::leak());
  museum::show(&receiver_leaves_early<receiver_leaves::freeing_twice>, museum::double_free(),
               &receiver_leaves_early<receiver_leaves::mended>);
}

}  // namespace
