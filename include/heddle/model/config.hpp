// Headers of the checker compile for the modelled seam, whatever the command line says.
#pragma once

#if !defined(HEDDLE_MODEL)
#define HEDDLE_MODEL 1
#endif

#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL
#error \
    "a header of Heddle was compiled natively before this one: link heddle::model, or define HEDDLE_MODEL=1"
#endif
