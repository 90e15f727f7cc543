// error: deleted
// A cell has one place: a copy would be read past the protocol that guards it.
#include <heddle/prim/cell.hpp>

void use(heddle::prim::cell<int>& value) {
#ifdef MUST_NOT_COMPILE
  heddle::prim::cell<int> copy(value);
#else
  heddle::prim::cell<int> copy(value.get());
#endif
  copy.set(1);
}
