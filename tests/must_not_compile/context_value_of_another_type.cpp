// error: no matching
// A key says of which type its values are.
#include <string>

#include <heddle/data/context.hpp>

const heddle::context_key<int> attempt("attempt");

heddle::context use(const heddle::context& c) {
#ifdef MUST_NOT_COMPILE
  return c.with(attempt, std::string("two"));
#else
  return c.with(attempt, 2);
#endif
}
