#include <heddle/data/snapshot.hpp>
#include <heddle/prim/seed.hpp>

namespace heddle::inline HEDDLE_ABI {

recursive_update::recursive_update()
    : error("snapshot: a function that makes its next value updates it") {}
recursive_update::~recursive_update() = default;

namespace detail {

snapshot_core::snapshot_core(snapshot_node* first) noexcept : source_(first) { first->number(1); }

snapshot_core::~snapshot_core() {
  if (changes_ != nullptr) changes_->close();
  retire(source_.current.load(prim::relaxed), false);
}

void snapshot_core::subscribe(snapshot_listener* listener) {
  {
    const prim::scoped_lock lock(source_.publishing);
    if (changes_ != nullptr) {
      changes_->add(*listener, source_.current.load(prim::relaxed)->version());
      return;
    }
  }
  auto* made = new snapshot_changes;
  {
    const prim::scoped_lock lock(source_.publishing);
    if (changes_ == nullptr) changes_ = std::exchange(made, nullptr);
    changes_->add(*listener, source_.current.load(prim::relaxed)->version());
  }
  if (made != nullptr) made->close();
}

snapshot_turn::snapshot_turn(snapshot_core& core) HEDDLE_NO_THREAD_SAFETY_ANALYSIS : core_(core) {
  const std::uint32_t me = prim::thread_number() + 1;
  // Relaxed: a thread is sure to see its own stores, and only it stores its own number.
  if (core.updater_.load(prim::relaxed) == me) throw recursive_update();
  core.updating_.lock();
  core.updater_.store(me, prim::relaxed);
}

snapshot_turn::~snapshot_turn() {
  if (!ended_) end();
}

void snapshot_turn::end() noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  ended_ = true;
  core_.updater_.store(0, prim::relaxed);
  core_.updating_.unlock();
}

// The store releases: whoever reads the value sees how it was made. What a reader has missed that
// still entered the old one in its slot, retire() finds there.
std::uint64_t snapshot_turn::publish(snapshot_node* fresh) noexcept {
  const std::uint64_t version = current()->version() + 1;
  fresh->number(version);
  snapshot_node* before = nullptr;
  snapshot_changes* changes = nullptr;
  {
    const prim::scoped_lock lock(core_.source_.publishing);
    before = core_.source_.current.load(prim::relaxed);
    core_.source_.current.store(fresh, prim::release);
    changes = core_.changes_;
    if (changes != nullptr) changes->append(*fresh);
  }
  end();
  retire(before, true);
  if (changes != nullptr) changes->deliver();
  return version;
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
