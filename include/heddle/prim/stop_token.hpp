// Cooperative cancellation behind the seam: std::stop_callback compares thread ids, which fibers
// share, so the modelled half brings its own.
#pragma once

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/stop_token.hpp>
#else

#include <stop_token>

namespace heddle::inline HEDDLE_ABI::prim {

using std::stop_source;
using std::stop_token;

template <class Callback>
using stop_callback = std::stop_callback<Callback>;

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
