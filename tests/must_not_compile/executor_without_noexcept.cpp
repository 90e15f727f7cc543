// error: satisf
// Lending an executor_ref must not throw: shutdown code calls it.
#include <heddle/base/executor_ref.hpp>

struct lender {
#ifdef MUST_NOT_COMPILE
  heddle::executor_ref executor() { return {}; }
#else
  heddle::executor_ref executor() noexcept { return {}; }
#endif
};

template <heddle::executor E>
void use(E&) {}

void call(lender& l) { use(l); }
