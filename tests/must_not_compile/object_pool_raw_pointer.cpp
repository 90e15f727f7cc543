// error: no matching
// A plain pointer does not say who deletes the object.
#include <heddle/data/object_pool.hpp>

#include <memory>

struct shape {
  int corners = 0;
};

void use() {
#ifdef MUST_NOT_COMPILE
  heddle::object_pool<shape> pool([] { return new shape; });
#else
  heddle::object_pool<shape> pool([] { return std::make_unique<shape>(); });
#endif
  pool.acquire()->corners = 1;
}
