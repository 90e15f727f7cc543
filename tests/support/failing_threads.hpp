// Replaces pthread_create by one that can be told to fail. Include it in one source of a program.
#pragma once

#include <cerrno>

#include <dlfcn.h>
#include <pthread.h>

#include "support/no_more_threads.hpp"

// The sanitizers' own, which must learn of every thread; there only in programs made with one.
extern "C" [[gnu::weak]] int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*,
                                                          void* (*)(void*), void*);

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*routine)(void*), void* argument) noexcept {
  if (heddle_test::no_more_threads) return EAGAIN;
  if (&__interceptor_pthread_create != nullptr) {
    return __interceptor_pthread_create(thread, attributes, routine, argument);
  }
  using function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto next = reinterpret_cast<function>(dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, attributes, routine, argument);
}
