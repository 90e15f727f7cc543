// The modelled half of <heddle/prim/asymmetric_fence.hpp>.
#pragma once

#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

HEDDLE_API void light_fence(where w) noexcept;
HEDDLE_API void heavy_fence(where w) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::model::detail

namespace heddle::inline HEDDLE_ABI::prim {

inline void light_fence(model::detail::where w = model::detail::where::current()) noexcept {
  if (model::detail::executing) model::detail::light_fence(w);
}

// In a model it is never refused.
[[nodiscard]] inline bool heavy_fence(
    model::detail::where w = model::detail::where::current()) noexcept {
  if (model::detail::executing) model::detail::heavy_fence(w);
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI::prim
