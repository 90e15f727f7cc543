#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/prim/atomic.hpp>

#include <cstdio>
#include <utility>

namespace heddle::inline HEDDLE_ABI {
namespace {

void write_line(std::exception_ptr e) noexcept {
  try {
    std::rethrow_exception(std::move(e));
  } catch (const std::exception& known) {
    std::fprintf(stderr, "heddle: an exception that nobody read: %s\n", known.what());
  } catch (...) {
    std::fputs("heddle: an exception that nobody read, of a type not derived from std::exception\n",
               stderr);
  }
}

// Nobody wanted the result, so nobody lost anything.
bool is_cancellation(const std::exception_ptr& e) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

constinit prim::atomic<unhandled_handler> current_handler{&write_line};
constinit prim::atomic<std::uint64_t> reported{0};

}  // namespace

unhandled_handler set_unhandled_handler(unhandled_handler handler) noexcept {
  return current_handler.exchange(handler == nullptr ? &write_line : handler, prim::acq_rel);
}

std::uint64_t unhandled_count() noexcept { return reported.load(prim::acquire); }

void report_unhandled(std::exception_ptr e) noexcept {
  if (is_cancellation(e)) return;
  reported.fetch_add(1, prim::acq_rel);
  current_handler.load(prim::acquire)(std::move(e));
}

}  // namespace heddle::inline HEDDLE_ABI
