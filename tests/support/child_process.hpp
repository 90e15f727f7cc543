// Looking at what works in a process that was forked off.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

namespace heddle_test {

// Whether f() is true in a child process. One that hangs is ended by its alarm. No GoogleTest
// assertion in f: its state is the parent's.
template <class F>
bool holds_in_child(F f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(100);
    ::_exit(f() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

}  // namespace heddle_test
