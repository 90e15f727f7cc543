#include <heddle/data/context.hpp>
#include <heddle/prim/allocation.hpp>

#include <memory>
#include <new>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// A context: a head, and behind it the addresses of its entries.
class entry_list final : public context_node {
 public:
  // Empty, with room for so many. Throws std::bad_alloc.
  static entry_list* make(std::size_t capacity) {
    void* const memory = prim::allocate(bytes(capacity), alignof(entry_list));
    return ::new (memory) entry_list(capacity);
  }
  // Null when it is a context of another make.
  static entry_list* from(context_ref context) noexcept {
    return context != nullptr && context->release == &drop ? static_cast<entry_list*>(context)
                                                           : nullptr;
  }

  context_entries entries() noexcept { return {places(), size_}; }
  // Takes over a count. Requires: there is room.
  void append(context_entry* e) noexcept { places()[size_++] = e; }

 private:
  explicit entry_list(std::size_t capacity) noexcept
      : context_node{&keep, &drop}, capacity_(capacity) {}
  ~entry_list() {
    for (std::size_t i = size_; i > 0; --i) places()[i - 1]->drop();
  }

  static std::size_t bytes(std::size_t capacity) noexcept {
    return sizeof(entry_list) + capacity * sizeof(context_entry*);
  }
  context_entry** places() noexcept { return reinterpret_cast<context_entry**>(this + 1); }

  static void keep(context_node* n) noexcept {
    static_cast<entry_list*>(n)->references_.fetch_add(1, prim::relaxed);
  }
  static void drop(context_node* n) noexcept {
    auto* const self = static_cast<entry_list*>(n);
    if (self->references_.fetch_sub(1, prim::acq_rel) != 1) return;
    const std::size_t size = bytes(self->capacity_);
    self->~entry_list();
    prim::deallocate(self, size, alignof(entry_list));
  }

  prim::atomic<std::size_t> references_{1};
  const std::size_t capacity_;
  std::size_t size_ = 0;
};

}  // namespace

context_entries entries_of(context_ref context) noexcept {
  entry_list* const list = entry_list::from(context);
  return list != nullptr ? list->entries() : context_entries{nullptr, 0};
}

const void* find_in(context_ref context, const context_key_base& key) noexcept {
  const context_entries all = entries_of(context);
  for (std::size_t i = 0; i < all.size; ++i) {
    if (&all.first[i]->key() == &key) return all.first[i]->value();
  }
  return nullptr;
}

context_ref extended(context_ref context, context_entry* entry) {
  struct dropper {
    void operator()(context_entry* e) const noexcept { e->drop(); }
  };
  std::unique_ptr<context_entry, dropper> fresh(entry);
  const context_entries before = entries_of(context);
  entry_list* const list = entry_list::make(before.size + 1);
  for (std::size_t i = 0; i < before.size; ++i) {
    context_entry* const e = before.first[i];
    if (&e->key() == &entry->key()) {
      list->append(fresh.release());
    } else {
      e->keep();
      list->append(e);
    }
  }
  if (fresh != nullptr) list->append(fresh.release());
  return list;
}

std::string text_of(context_ref context) {
  std::string all;
  const context_entries entries = entries_of(context);
  for (std::size_t i = 0; i < entries.size; ++i) {
    const context_key_base& key = entries.first[i]->key();
    if (!all.empty()) all.append(" ");
    all.append(key.name);
    all.append("=");
    all.append(key.text(entries.first[i]->value()));
  }
  return all;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
