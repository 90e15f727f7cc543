// The least of an HTTP client: one request at a time on a connection that each thread keeps.
#pragma once

#include <cstdint>

namespace bench {

// Sends a GET to 127.0.0.1:port and reads the response. Throws std::runtime_error.
void http_get(std::uint16_t port);

}  // namespace bench
