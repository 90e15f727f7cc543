// A user's first program, built outside Heddle's own tree.
#include <cstdio>
#include <heddle/base/errors.hpp>
#include <heddle/version.hpp>

int main() {
  try {
    throw heddle::cancelled();
  } catch (const heddle::error& caught) {
    std::printf("heddle %s: %s\n", heddle::version_string, caught.what());
    return 0;
  }
}
