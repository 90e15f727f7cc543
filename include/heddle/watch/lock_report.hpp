// The locks of the process, for people and for programs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_statistics.hpp>

namespace heddle::inline HEDDLE_ABI {

// What was recorded of locks, semaphores, queues and the like; read it with
//
//   std::fputs(heddle::lock_report().to_text().c_str(), stderr);
//
// What is recorded, and of which objects: heddle::record_locks and each object's record().
struct HEDDLE_API lock_report {
  // Of all that have a name or were recorded, the longest total wait first.
  // Throws std::bad_alloc.
  lock_report() : locks(lock_snapshot()) {}
  explicit lock_report(std::vector<lock_statistics> of) : locks(std::move(of)) {}

  std::vector<lock_statistics> locks;

  // A table with a line for each of the first `rows` that were recorded; says how many it leaves
  // out. The code that held a lock longest is given as function+offset where the program exports
  // its functions (-rdynamic), else as file+offset, which addr2line -fe FILE OFFSET understands.
  // Throws std::bad_alloc.
  std::string to_text(std::size_t rows = 40) const;
  // One JSON object (RFC 8259) with all of them. Times are in seconds. Throws std::bad_alloc.
  std::string to_json() const;
};

}  // namespace heddle::inline HEDDLE_ABI
