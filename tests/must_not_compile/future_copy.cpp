// error: deleted|private
// A future is read once, by one owner.
#include <heddle/future/future.hpp>
#include <utility>

heddle::future<int> pass_on(heddle::future<int>& result) {
#ifdef MUST_NOT_COMPILE
  return result;
#else
  return std::move(result);
#endif
}
