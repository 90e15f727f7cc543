// folly::SharedMutex.
#include <folly/SharedMutex.h>

#include "rows.hpp"

int main(int argc, char** argv) { return bench::run<bench::none, folly::SharedMutex>(argc, argv); }
