// The rules of the house that can be read off the sources: which room may include which, and what
// the rooms that models compile may not name. Each rule is a function from sources to violations,
// so that a test can feed it a bad snippet and see it complain.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace architecture {

struct source {
  std::string path;  // relative to the project: include/heddle/ROOM/x.hpp or src/ROOM/x.cpp
  std::string text;
};

struct violation {
  std::string path;
  int line;
  std::string what;
};

// Every .hpp and .cpp under include/ and src/.
std::vector<source> read_tree(const std::filesystem::path& project);

// A file lies in a room of the table, and includes nothing from a floor above its own.
std::vector<violation> arrows_running_up(const std::vector<source>& sources);

// No header includes itself, and no room of a floor another one of that floor, in a circle.
std::vector<violation> circles(const std::vector<source>& sources);

// Rooms that models compile share memory, block and tell the time through heddle::prim alone.
std::vector<violation> steps_past_the_seam(const std::vector<source>& sources);

// A thread_local in a header is one object for each shared library that hides its symbols, but for
// an exported declaration (`HEDDLE_API extern`) of one that src/ defines.
std::vector<violation> thread_locals_in_headers(const std::vector<source>& sources);

std::string to_string(const violation& found);

}  // namespace architecture
