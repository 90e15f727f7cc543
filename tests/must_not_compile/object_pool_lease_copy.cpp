// error: deleted
// A lease is the use of one object, which ends once.
#include <heddle/data/object_pool.hpp>

#include <utility>

void use(heddle::object_pool<int>& pool) {
  auto lease = pool.acquire();
#ifdef MUST_NOT_COMPILE
  auto other = lease;
#else
  auto other = std::move(lease);
#endif
  *other = 1;
}
