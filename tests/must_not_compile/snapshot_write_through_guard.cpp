// error: read-only|const
// What readers see never changes.
#include <heddle/data/snapshot.hpp>

struct config {
  int threads = 1;
};

void use(heddle::snapshot<config>& s) {
#ifdef MUST_NOT_COMPILE
  s.read()->threads = 2;
#else
  s.update([](config c) {
    c.threads = 2;
    return c;
  });
#endif
}
