// How GNU make tells its children of a jobserver: words in the environment variable MAKEFLAGS.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace heddle::tool {

// Where the tokens are. The GNU make manual, "Sharing Job Slots with GNU make", has the protocol.
struct jobserver_address {
  enum class kind {
    pipe,    // two descriptors
    fifo,    // a named pipe; since make 4.4
    closed,  // make keeps its jobserver from us: negative descriptors
    unknown  // of a kind that we do not know
  };
  kind what = kind::unknown;
  int read = -1;
  int write = -1;
  std::string path{};
  std::string text{};  // as it was given
};

// Reads --jobserver-auth=R,W, --jobserver-auth=fifo:PATH and the older --jobserver-fds=R,W. Of
// several the last one counts. What follows the word "--" are variables, which may contain
// anything; a backslash before a blank makes it part of a word. Nothing when there is none.
std::optional<jobserver_address> find_jobserver(std::string_view makeflags);

// The same flags with another jobserver of `slots` jobs in place of those they name. `address` is
// what follows --jobserver-auth=.
std::string with_jobserver(std::string_view makeflags, unsigned slots, std::string_view address);

}  // namespace heddle::tool
