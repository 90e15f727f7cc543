// error: read-only|const-qualified|const int
// A reader of a cell gets no write access to the value.
#include <heddle/prim/cell.hpp>

int peek(const heddle::prim::cell<int>& value) {
#ifdef MUST_NOT_COMPILE
  return value.read([](const int& held) { return ++held; });
#else
  return value.read([](const int& held) { return held + 1; });
#endif
}
