#include <heddle/base/errors.hpp>

#include <string>

namespace heddle::inline HEDDLE_ABI {

// Destructors are defined here so that each type's vtable and type_info exist once, in the library:
// an exception thrown by it is caught by type in every program that links it.
error::~error() = default;

cancelled::cancelled() : error("cancelled before it produced a result") {}
cancelled::~cancelled() = default;

broken_promise::broken_promise() : error("the promise was destroyed without a result") {}
broken_promise::~broken_promise() = default;

no_state::no_state(const char* operation)
    : error(std::string(operation) +
            ": no state (default constructed, moved from, or already read)") {}
no_state::~no_state() = default;

already_satisfied::already_satisfied(const char* what) : error(what) {}
already_satisfied::~already_satisfied() = default;

rejected::~rejected() = default;
would_starve::~would_starve() = default;
deadlock_error::~deadlock_error() = default;

timed_out::timed_out() : error("the time had run out before there was a result") {}
timed_out::~timed_out() = default;

forked::forked() : error("the result was to be made by a thread of the parent process") {}
forked::~forked() = default;

}  // namespace heddle::inline HEDDLE_ABI
