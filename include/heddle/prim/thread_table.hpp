// Thread-local values for code that cannot afford a call.
#pragma once

#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

#if HEDDLE_MODEL
inline void** inlined_thread_values() noexcept { return thread_values(); }
inline void** running_thread_values() noexcept { return thread_values(); }
#else
namespace detail {
// Its place in a thread's memory is fixed when the library is loaded ("initial-exec"), so that code
// anywhere finds it by one offset. `constinit` and the trivial type spare every user a look whether
// it has been initialized.
HEDDLE_API extern constinit thread_local void*
    thread_table[static_cast<unsigned>(thread_slot::count)]
    __attribute__((tls_model("initial-exec")));
}  // namespace detail

// The same as thread_values(), in one or two instructions. Within one function compilers take the
// address to stay what it was: so not for code that may go on in another thread after such a use,
// as a coroutine's body does.
inline void** inlined_thread_values() noexcept { return detail::thread_table; }

// The same for code that users may have inlined into a coroutine. It is right there too: g++ makes
// functions of the parts between suspensions before it optimizes, and clang moves no such address
// across a suspension since version 19 (llvm-project issue 63022). Earlier ones do, and get a call.
inline void** running_thread_values() noexcept {
#if defined(__clang__) && __clang_major__ < 19
  return thread_values();
#else
  return inlined_thread_values();
#endif
}
#endif

}  // namespace heddle::inline HEDDLE_ABI::prim
