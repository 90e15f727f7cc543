// What a translation unit is compiled for: the native seam or the modelled one.
#pragma once

// HEDDLE_MODEL=1 compiles the same sources against the interleaving checker. The whole of heddle
// lives in an inline namespace named after the choice, so that objects of both kinds cannot be
// linked together by accident.
#if !defined(HEDDLE_MODEL)
#define HEDDLE_MODEL 0
#endif

#if HEDDLE_MODEL
#define HEDDLE_ABI modelled
#else
#define HEDDLE_ABI native
#endif

// Everything else in the shared library is hidden.
#define HEDDLE_API __attribute__((visibility("default")))

// True when ThreadSanitizer watches this translation unit, with either compiler.
#if defined(__SANITIZE_THREAD__)
#define HEDDLE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HEDDLE_TSAN 1
#endif
#endif
#if !defined(HEDDLE_TSAN)
#define HEDDLE_TSAN 0
#endif

// The same for AddressSanitizer.
#if defined(__SANITIZE_ADDRESS__)
#define HEDDLE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEDDLE_ASAN 1
#endif
#endif
#if !defined(HEDDLE_ASAN)
#define HEDDLE_ASAN 0
#endif
