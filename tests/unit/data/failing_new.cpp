// Lets allocations fail in the tests of this room.
#include "support/failing_new.hpp"
