#include <heddle/data/dictionary.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI {

recursive_use::recursive_use()
    : error("dictionary: a function that was given to it uses the same dictionary") {}
recursive_use::~recursive_use() = default;

namespace detail {

namespace {

dictionary_call* innermost() noexcept {
  return static_cast<dictionary_call*>(prim::thread_value(prim::thread_slot::dictionary_call));
}

}  // namespace

dictionary_call::dictionary_call(const void* dictionary) noexcept
    : dictionary_(dictionary), outer_(innermost()) {
  prim::thread_value(prim::thread_slot::dictionary_call) = this;
}

dictionary_call::~dictionary_call() {
  prim::thread_value(prim::thread_slot::dictionary_call) = outer_;
}

void dictionary_call::refuse_inside(const void* dictionary) {
  for (const dictionary_call* c = innermost(); c != nullptr; c = c->outer_) {
    if (c->dictionary_ == dictionary) throw recursive_use();
  }
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
