// Makes whoever still reads an object on a stack frame that is gone find rubbish there.
#pragma once

namespace heddle_test {

[[gnu::noinline]] inline void overwrite_dead_stack() {
  volatile unsigned char rubbish[16 * 1024];
  for (volatile unsigned char& b : rubbish) b = 0xA5;
}

}  // namespace heddle_test
