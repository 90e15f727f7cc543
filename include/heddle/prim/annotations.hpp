// Clang's thread-safety annotations; nothing with other compilers. They stand on floor 0 because
// the seam's own mutex carries them. Never needed in a user's code.
#pragma once

#if defined(__clang__)
#define HEDDLE_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define HEDDLE_THREAD_ANNOTATION(x)
#endif

#define HEDDLE_CAPABILITY(name) HEDDLE_THREAD_ANNOTATION(capability(name))
#define HEDDLE_SCOPED_CAPABILITY HEDDLE_THREAD_ANNOTATION(scoped_lockable)
#define HEDDLE_GUARDED_BY(x) HEDDLE_THREAD_ANNOTATION(guarded_by(x))
#define HEDDLE_PT_GUARDED_BY(x) HEDDLE_THREAD_ANNOTATION(pt_guarded_by(x))
#define HEDDLE_ACQUIRE(...) HEDDLE_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define HEDDLE_RELEASE(...) HEDDLE_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define HEDDLE_TRY_ACQUIRE(...) HEDDLE_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define HEDDLE_ACQUIRE_SHARED(...) HEDDLE_THREAD_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define HEDDLE_RELEASE_SHARED(...) HEDDLE_THREAD_ANNOTATION(release_shared_capability(__VA_ARGS__))
#define HEDDLE_TRY_ACQUIRE_SHARED(...) \
  HEDDLE_THREAD_ANNOTATION(try_acquire_shared_capability(__VA_ARGS__))
#define HEDDLE_REQUIRES(...) HEDDLE_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define HEDDLE_EXCLUDES(...) HEDDLE_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define HEDDLE_NO_THREAD_SAFETY_ANALYSIS HEDDLE_THREAD_ANNOTATION(no_thread_safety_analysis)
